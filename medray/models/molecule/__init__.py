"""Networks of molecules: graphs of atoms and bonds, and fingerprints."""
