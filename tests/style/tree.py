"""The files of the project as the style checks see them, and C++ taken apart as far as need be."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

NOT_OURS = {".git", "build", "__pycache__"}

_CPP_TOKEN = re.compile(
    r'(?P<raw>R"(?P<delimiter>[^\s()\\]{0,16})\(.*?\)(?P=delimiter)")'
    r"|(?P<comment>//[^\n]*|/\*.*?\*/)"
    r'|(?P<string>"(?:\\.|[^"\\\n])*")'
    r"|(?P<char>(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')",  # not the quote of 1'000'000
    re.DOTALL,
)
_PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


@lru_cache(maxsize=None)
def without_comments(text):
    """C++ with its comments blanked; lines and columns stay where they are."""
    return _CPP_TOKEN.sub(lambda m: _blank(m[0]) if m["comment"] else m[0], text)


@lru_cache(maxsize=None)
def bare_code(text):
    """C++ with comments, strings and preprocessor lines blanked."""
    code = _CPP_TOKEN.sub(lambda m: _blank(m[0]), text)
    return _PREPROCESSOR.sub(lambda m: _blank(m[0]), code)


@dataclass(frozen=True)
class Finding:
    place: str  # path, or path:line
    what: str  # what is wrong, and what to do


@dataclass
class Tree:
    """`root` is a checkout, or a copy of its files; `bin` holds the built programs."""

    root: Path
    bin: Path
    _texts: dict = field(default_factory=dict)

    def files(self, *suffixes, under=""):
        """Paths relative to the root, sorted; `suffixes` also match whole names."""
        return [
            path
            for path in self._all_files()
            if path.startswith(under) and path.endswith(suffixes or ("",))
        ]

    def text(self, path):
        if path not in self._texts:
            # As bytes: reading as text would hide CR LF.
            self._texts[path] = (self.root / path).read_bytes().decode("utf-8", "replace")
        return self._texts[path]

    def exists(self, path):
        return (self.root / path).exists()

    def lines(self, path):
        return self.text(path).split("\n")

    def run(self, *command, text=None):
        return subprocess.run(
            command, cwd=self.root, input=text, capture_output=True, text=True, check=False
        )

    def _all_files(self):
        if "" not in self._texts:
            self._texts[""] = sorted(self._tracked() if self.exists(".git") else self._walked())
        return self._texts[""]

    def _tracked(self):
        listed = self.run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        return {p for p in listed.stdout.split("\0") if p and (self.root / p).is_file()}

    def _walked(self):
        for folder, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in NOT_OURS]
            for name in names:
                yield str(Path(folder, name).relative_to(self.root))


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


_SCOPE = re.compile(r"\b(?:namespace|class|struct|union|enum|extern)\b[^()]*$")
_MEMBER_INITIALIZERS = re.compile(r"\)\s*(?:noexcept\s*)?:(?!:)")


def _brace_kind(header):
    """What a brace after `header` opens, where declarations stand: a scope goes on with
    declarations, a function is measured, anything else (an initializer) is passed over."""
    header = header.strip()
    if _SCOPE.search(header) and not header.endswith(")"):
        return "scope"
    if "(" not in header or header.endswith(("=", ",", "(")):
        return "other"
    if _MEMBER_INITIALIZERS.search(header) and not header.endswith((")", "}")):
        return "other"  # the brace of a member's initializer; the body comes later
    return "function"


def functions(text):
    """(name, first line, last line) of every function body at the level of declarations."""
    code = bare_code(text)
    header_from = position = 0
    while match := re.compile(r"[{};]").search(code, position):
        position = match.end()
        if match[0] != "{":
            header_from = position
            continue
        header = code[header_from : match.start()]
        kind = _brace_kind(header)
        if kind == "scope":
            header_from = position
            continue
        end = _closing_brace(code, match.start())
        position = end + 1
        if kind == "function":
            name = re.findall(r"([~\w:]+)\s*\(", header)
            yield (name[0] if name else "?", line_of(code, match.start()), line_of(code, end))
            header_from = position


def _closing_brace(code, opening):
    depth = 0
    for match in re.compile(r"[{}]").finditer(code, opening):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return match.start()
    return len(code)
