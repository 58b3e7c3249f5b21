"""What is known before one of the ISA modules is loaded."""

#: Names of the levels in this build, separated by blanks.
built_levels: str
compiler: str

def processor_words() -> dict[str, int]: ...
