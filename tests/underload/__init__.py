"""The guard against load: repeats a failed test when the processor was withheld."""
