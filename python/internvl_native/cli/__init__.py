"""The command line `internvl-native`.

`main.py` finds the command and turns exceptions into messages and exit codes. A command is a module
of its name here, with

    def add_arguments(parser: argparse.ArgumentParser) -> None   # also description and epilog
    def run(arguments: argparse.Namespace) -> int                # the exit code

and a line in `main.COMMANDS`. It is imported only when it is asked for. What a command is asked for
goes to stdout, everything else to stderr.
"""
