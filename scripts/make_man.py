#!/usr/bin/env python3
"""Makes the man page out of what the program says of itself, so that the two cannot differ.

usage: make_man.py PROGRAM PAGE

Reads `PROGRAM --help` and `PROGRAM --version` and writes roff. Of the help it knows the outline:
a description, a line "Usage:", groups of options ("NAME:" and indented lines), closing paragraphs.
"""

import pathlib
import re
import subprocess
import sys

# Where the text of an option begins when it does not fit beside its name.
TEXT_COLUMN = 20

# What the program does not say itself.
AFTER = """\
.SH FILES
.TP
.I ~/.erlang.cookie
The cookie, where neither \\fB\\-\\-cookie\\-file\\fR nor \\fBML_WORKER_COOKIE\\fR gives one.
.TP
.I models/
Model folders, beside the folder of the program and below the current one.
.SH ENVIRONMENT
.TP
.B ML_WORKER_COOKIE
The cookie; it leaves the environment at once.
.TP
.B ERL_EPMD_PORT
The port of epmd, 4369 otherwise.
.SH SEE ALSO
.BR erl (1),
.BR epmd (1)
"""


def said_by(program, option):
    return subprocess.run([program, option], check=True, capture_output=True, text=True).stdout


def escaped(text):
    """Text in which roff sees no command."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def outline(help_text):
    """(description, {group: [(option, text)]}, closing paragraphs)."""
    before, rest = help_text.split("Usage:", 1)
    lines = rest.split("\n")[1:]
    groups, group, end = {}, None, len(lines)
    for number, line in enumerate(lines):
        if re.fullmatch(r"\S.*:", line) and has_options(lines[number + 1:]):
            group = groups.setdefault(line.rstrip(":"), [])
        elif line.startswith("  ") and group is not None:
            add_line(group, line)
        elif line.strip():
            end = number
            break
    return before.strip(), groups, "\n".join(lines[end:]).strip()


def has_options(lines):
    following = next((line for line in lines if line.strip()), "")
    return following.startswith("  -")


def add_line(group, line):
    indent = len(line) - len(line.lstrip())
    if indent >= TEXT_COLUMN and group:
        option, text = group[-1]
        group[-1] = (option, f"{text} {line.strip()}".strip())
    else:
        option, _, text = line.strip().partition("  ")
        group.append((option, text.strip()))


def roff(program_name, version, help_text):
    description, groups, closing = outline(help_text)
    page = [f'.TH ML_WORKER 1 "" "{escaped(version)}" "User Commands"',
            ".SH NAME", f"{program_name} \\- text embeddings as a node of an Erlang cluster",
            ".SH SYNOPSIS", f".B {program_name}", "[\\fIOPTIONS\\fR]",
            ".SH DESCRIPTION", escaped(description)]
    for name, options in groups.items():
        page.append(f".SH {escaped(name.upper())}")
        for option, text in options:
            page += [".TP", f".B {escaped(option)}", escaped(text)]
    page.append(".SH NOTES")
    page.append("\n.PP\n".join(escaped(part) for part in re.split(r"\n\s*\n", closing)))
    return "\n".join(page) + "\n" + AFTER


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    program, page = arguments
    text = roff(pathlib.Path(program).name, said_by(program, "--version").strip(),
                said_by(program, "--help"))
    pathlib.Path(page).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
