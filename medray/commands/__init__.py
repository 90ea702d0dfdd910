"""The commands of the command line, by what they are for. Heavy rooms load inside a command."""
