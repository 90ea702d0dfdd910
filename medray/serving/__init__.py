"""What answers requests, without Ray: bytes to samples, samples to bytes, and the HTTP around."""
