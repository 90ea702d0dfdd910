"""What one worker does, training, and what is computed of many samples. torch yes, Ray never."""
