"""From a job file to committed versions: resolve, plan, run, resume, status."""
