"""What one worker does with a unit of any operation."""
