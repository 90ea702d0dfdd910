"""One self-contained page per run: what went in, what came out, what was refused."""
