"""Object stores of the tests' own, on free ports of the loopback interface."""
