"""What can be written in job files and profiles: models, loading, overriding, JSON Schema.

Plugins (formats, models, tasks) are named here as `{name, **options}`; their options are checked by
the jobs room, since this room knows no plugin.
"""
