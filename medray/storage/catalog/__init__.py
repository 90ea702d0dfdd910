"""What stands in storage under a name: ledgers, versions, models, and who looks after them."""
