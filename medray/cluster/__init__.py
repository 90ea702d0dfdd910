"""Where units and ranks run. The only room that imports Ray."""
