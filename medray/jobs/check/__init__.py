"""Check a whole job before its first step: what each document needs is there, or will be made.

Documents are gone through in order. What one will make is known by name, and what it will hold as
far as its plugins say so (`medray.storage.shards.holds`); what stands in storage is looked at
there. What only the data can tell is left to the step.
"""

from medray.jobs.check.facts import Data, Model
from medray.jobs.check.steps import DEFAULT_CLUSTER, check_documents
from medray.jobs.check.view import Problem, refuse

__all__ = ["DEFAULT_CLUSTER", "Data", "Model", "Problem", "check_documents", "refuse"]
