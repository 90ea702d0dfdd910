"""What a learning curve is made of: trainings that draw their labels."""
