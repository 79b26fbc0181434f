"""Checks of the code: layers, banned calls, lengths, names, form.

Each check is a function that takes the tree and yields findings.
"""

import ast
import re

from tree import Finding, bare_code, functions, line_of, without_comments

CPP = (".cpp", ".hpp")
SCRIPTS = (".sh", ".bash", ".bats")
LINES_MAX = 600
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

# --- layers ------------------------------------------------------------------------------------

COMMON = ("common/", "common/store/", "common/plan/", "common/wire/")

# What the code in a room may include, besides the room itself: rooms end in "/", files do not.
# `access -> strategy -> service -> data -> common`, skipping is fine, back is not.  The folder
# daemon/ itself holds main and the composition root, which know everything.
MAY_INCLUDE = {
    "common/": (),
    # The plan's model, not its planner: what a campaign and a downstream are.
    "common/store/": ("common/", "common/plan/campaign.hpp", "common/plan/downstream.hpp"),
    "common/plan/": ("common/",),
    "common/wire/": ("common/",),
    "daemon/data/": COMMON,
    "daemon/service/": ("daemon/data/", *COMMON),
    "daemon/strategy/": ("daemon/service/", "daemon/data/", *COMMON),
    "daemon/access/": ("daemon/strategy/", "daemon/service/", "daemon/data/", *COMMON),
    "daemon/": ("daemon/access/", "daemon/strategy/", "daemon/service/", "daemon/data/", *COMMON),
    "cli/": COMMON,
    "examples/": COMMON,
    "examples/sandbox/": (
        "common/", "daemon/access/http_server.hpp", "daemon/access/http_message.hpp"
    ),
}  # fmt: skip
# May include everything.
ABOVE_ALL = ("tests/",)


def room_of(path):
    rooms = [room for room in (*MAY_INCLUDE, *ABOVE_ALL) if path.startswith(room)]
    return max(rooms, key=len, default=None)


def layers(tree):
    for path in tree.files(*CPP):
        room = room_of(path)
        if room is None:
            yield Finding(path, "stands in no layer; put it into cli, daemon, common or tests")
            continue
        for number, line in enumerate(tree.lines(path), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if match:
                yield from _include(tree, room, f"{path}:{number}", match[1])


def _include(tree, room, place, target):
    if not tree.exists(target):
        yield Finding(place, f'"{target}" is no file; name it from the top, "common/result.hpp"')
        return
    target_room = room_of(target)
    allowed = MAY_INCLUDE.get(room)
    if room in ABOVE_ALL or target_room == room or {target, target_room} & set(allowed):
        return
    yield Finding(
        place, f"{room} may not include {target}; hand down what it must know as a value"
    )


# --- banned ------------------------------------------------------------------------------------

# (what, pattern, files where it may stand, what to use instead).  Patterns are matched against
# code without comments and strings.  A place that ends in "/" stands for a folder.
BANNED = [
    ("the clock",
     r"\w::now\s*\(|\btime\s*\(\s*(?:NULL|nullptr|0|&)|\b(?:clock_gettime|gettimeofday)\b",
     ("common/clock.cpp",),
     "take `now` as an argument, or a Clock"),
    ("sleeping",
     r"\bsleep_for\b|this_thread::sleep|\bu?sleep\s*\(|\bnanosleep\b",
     ("common/clock.cpp",),
     "return when the next round is due; in tests move the ManualClock"),
    ("chance",
     r"\brandom_device\b|\bs?rand\s*\(|\bmt19937|\bRAND_\w+|\bgetrandom\b|\bgetentropy\b",
     ("common/random.cpp", "common/random.hpp"),
     "take a Random"),
    ("the environment",
     r"\b(?:secure_)?getenv\s*\(|\bsetenv\s*\(|\benviron\b",
     ("common/environment.cpp", "daemon/notifier.cpp"),  # the latter hands it to its child
     "have it read once, in common/environment, and handed down"),
    ("SQLite",
     r"\bsqlite3_\w+\s*\(|\bSQLITE_\w+",
     ("common/store/database.cpp", "tests/support/crash_vfs.cpp"),
     "use store::Database"),
    ("libcurl",
     r"\bcurl_(?:easy|multi|global|slist|url|mime|share|free)\w*\s*\(|\bCURL(?:OPT|MOPT|E)_",
     (),
     "use wire::HttpClient: libcurl sends a POST twice by itself"),
    ("hiredis",
     r"\bredis[A-Z]\w+\s*\(",
     ("common/wire/redis_connection.cpp",),
     "use the one file in common/wire that knows it"),
    ("OpenSSL",
     r"\b(?:EVP|HMAC|SHA\d*|CRYPTO)_\w+\s*\(",
     ("common/crypto.cpp", "common/secret_box.cpp"),
     "use common/crypto, or common/secret_box"),
    ("throwing",
     r"\bthrow\b",
     # CLI11 hears of errors so; they are caught in the same file.
     ("cli/command_line.cpp", "daemon/config.cpp", "tests/"),
     "return an Error; VOUCH_ASSERT for a broken invariant"),
    ("names that say nothing",
     r"\b(?:class|struct)\s+\w*(?:Manager|Handler|Helper|Util|Utils|Processor)\b",
     ("daemon/service_manager.hpp",),  # systemd's own word for itself
     "name it by what it is"),
]  # fmt: skip

# The same for #include lines: (what, pattern of the header, files, what to do).
BANNED_INCLUDES = [
    ("sqlite3.h", r"sqlite3\.h",
     ("common/store/database.cpp", "tests/support/crash_vfs.cpp"), "use store::Database"),
    ("libcurl", r"curl/", (), "use wire::HttpClient"),
    ("hiredis", r"hiredis", ("common/wire/redis_connection.cpp",), "use common/wire"),
    ("OpenSSL", r"openssl/",
     ("common/crypto.cpp", "common/random.cpp", "common/secret_box.cpp",
      "common/wire/connection.cpp", "tests/support/scripted_server.cpp"),
     "use common/crypto or common/random"),
    ("Boost", r"boost/",
     ("daemon/access/http_server.cpp", "daemon/access/http_connection.hpp",
      "daemon/access/http_connection.cpp", "daemon/access/listening_socket.cpp", "tests/fuzz/",
      "common/wire/connection.hpp", "common/wire/connection.cpp", "common/wire/http_client.cpp",
      "common/wire/origin.hpp", "common/wire/origin.cpp", "common/wire/reply_parser.cpp",
      "common/wire/request_text.cpp",
      "common/wire/trust.hpp", "common/wire/trust.cpp"),
     "it costs 12 s for each file; go through HttpServer or wire::HttpClient"),
    ("CLI11", r"CLI/", ("cli/", "daemon/main.cpp", "daemon/config.cpp", "examples/"),
     "only command lines and configuration files need it"),
]  # fmt: skip

# Costly headers stay out of our headers, but for the one that wraps them.
COSTLY_IN_HEADERS = [
    (r"nlohmann/json\.hpp", ("common/json.hpp",), "include <nlohmann/json_fwd.hpp>"),
    (r"CLI/|spdlog/|regex", (), "include it in the .cpp"),
    (r"iostream", (), "include <iosfwd>, or <ostream> in the .cpp"),
]


def _is_at(path, places):
    return any(path == p or (p.endswith("/") and path.startswith(p)) for p in places)


def banned_calls(tree):
    for path in tree.files(*CPP):
        code = bare_code(tree.text(path))
        for what, pattern, places, instead in BANNED:
            if _is_at(path, places):
                continue
            for match in re.finditer(pattern, code):
                yield Finding(
                    f"{path}:{line_of(code, match.start())}",
                    f"{what} ({match[0].strip()}) has no place here: {instead}",
                )


def banned_includes(tree):
    for path in tree.files(*CPP):
        rows = [(p, places, f"{what}: {do}") for what, p, places, do in BANNED_INCLUDES]
        if path.endswith(".hpp"):
            rows += COSTLY_IN_HEADERS
        for number, line in enumerate(tree.lines(path), 1):
            match = re.match(r"\s*#\s*include\s*[<\"]([^>\"]+)", line)
            for pattern, places, what in rows if match else ():
                if re.match(pattern, match[1]) and not _is_at(path, places):
                    yield Finding(f"{path}:{number}", f"<{match[1]}> here: {what}")


def databases_by_hand(tree):
    """Opening and closing a database's file drops SQLite's locks on it, silently.  Tests may: they
    damage stores on purpose."""
    pattern = re.compile(r'\b(?:open|openat|fopen|[io]?f?stream)\b[^;]*\.db["-]')
    for path in tree.files(*CPP):
        code = "" if path.startswith("tests/") else without_comments(tree.text(path))
        for match in pattern.finditer(code):
            if not re.search(r"Database::open|sqlite", match[0] + code[match.start() - 12 :][:12]):
                yield Finding(
                    f"{path}:{line_of(code, match.start())}",
                    "opens a database's file by hand, which drops SQLite's locks; use Database",
                )


def tests_do_not_sleep(tree):
    pattern = re.compile(r"\bsleep_until\b")
    for path in tree.files(*CPP, under="tests/"):
        code = bare_code(tree.text(path))
        for match in pattern.finditer(code):
            yield Finding(
                f"{path}:{line_of(code, match.start())}",
                "a test waits for time: move the ManualClock and call run_once",
            )


# --- lengths and form --------------------------------------------------------------------------


def file_lengths(tree):
    for path in tree.files(*CPP, *SCRIPTS, ".py", ".sql", ".js"):
        count = tree.text(path).count("\n")
        if count > LINES_MAX:
            yield Finding(path, f"{count} lines, {LINES_MAX} is the end: it is two files")


def function_lengths(tree):
    for path in tree.files(*CPP):
        yield from _too_long(path, functions(tree.text(path)))
    for path in tree.files(*SCRIPTS):
        yield from _too_long(path, _shell_functions(tree.lines(path)))
    for path in tree.files(".py", "tests/style/run"):
        nodes = ast.walk(ast.parse(tree.text(path)))
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        yield from _too_long(
            path, ((n.name, n.lineno, n.end_lineno) for n in nodes if isinstance(n, kinds))
        )


def _too_long(path, measured):
    for name, first, last in measured:
        if last - first + 1 > FUNCTION_LINES_MAX:
            yield Finding(
                f"{path}:{first}",
                f"{name} has {last - first + 1} lines, {FUNCTION_LINES_MAX} is the end: part it",
            )


def _shell_functions(lines):
    begun = None
    for number, line in enumerate(lines, 1):
        match = re.match(r"(\w+)\s*\(\)\s*\{\s*$|(@test .*)\{\s*$", line)
        if match:
            begun = (match[1] or match[2].strip(), number)
        elif line == "}" and begun:
            yield (*begun, number)
            begun = None


def line_lengths(tree):
    for path in tree.files(*CPP, *SCRIPTS, ".py", ".sql", ".awk", ".cmake", "CMakeLists.txt"):
        for number, line in enumerate(tree.lines(path), 1):
            if len(line) > COLUMNS_MAX:
                yield Finding(f"{path}:{number}", f"{len(line)} columns, {COLUMNS_MAX} is the end")


def formatting(tree):
    files = tree.files(*CPP)
    done = tree.run("clang-format-14", "--dry-run", "-Werror", *files) if files else None
    places = {}
    for line in done.stderr.splitlines() if done else ():
        if match := re.match(r"(.+?):(\d+):\d+: error: ", line):
            places.setdefault(match[1], []).append(match[2])
    for path, lines in places.items():
        yield Finding(f"{path}:{lines[0]}", f"{len(lines)} places; clang-format -i {path}")
    if done and done.returncode not in (0, 1):
        yield Finding("clang-format-14", done.stderr.strip()[:200] or "does not run")


def whitespace(tree):
    text_files = (*CPP, *SCRIPTS, ".py", ".sql", ".awk", ".cmake", "CMakeLists.txt", ".md", ".json",
                  ".yaml", ".service", ".conf", ".1", ".5", ".7", ".8")  # fmt: skip
    for path in tree.files(*text_files):
        text = tree.text(path)
        if text and not text.endswith("\n"):
            yield Finding(path, "does not end with a newline")
        if text.endswith("\n\n"):
            yield Finding(path, "ends with empty lines")
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip():
                yield Finding(f"{path}:{number}", "trailing white space (or CR LF): remove it")
            if "\t" in line and path.endswith((*CPP, ".sql", *SCRIPTS)):
                yield Finding(f"{path}:{number}", "a tab: indent with spaces, write \\t in strings")


def leftovers(tree):
    pattern = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
    for path in tree.files(*CPP, *SCRIPTS, ".py", ".sql", ".js", ".cmake", ".md", "CMakeLists.txt"):
        for number, line in enumerate(tree.lines(path), 1):
            if pattern.search(line) and "X" * 6 not in line:  # mkstemp's template
                yield Finding(f"{path}:{number}", "left open: do it, or open an issue")


def headers(tree):
    for path in tree.files(".hpp"):
        lines = tree.lines(path)
        name = path.rsplit("/", 1)[-1]
        if not lines[0].startswith(f"// {name}: "):
            yield Finding(f"{path}:1", f"begin with `// {name}: ` and what the module is for")
        if "#pragma once" not in lines:
            yield Finding(path, "#pragma once is missing")
        code = bare_code(tree.text(path))
        for match in re.finditer(r"\busing\s+namespace\b", code):
            place = f"{path}:{line_of(code, match.start())}"
            yield Finding(place, "no `using namespace` in headers")


def built_files(tree):
    """A source that no CMakeLists.txt names is dead."""
    for path in tree.files(".cpp"):
        folders = ["/".join(path.split("/")[:n]) for n in range(path.count("/"), 0, -1)]
        lists = [f"{folder}/CMakeLists.txt" for folder in folders]
        named = (
            re.search(rf"(?<![\w/-]){re.escape(path.removeprefix(folder + '/'))}\b",
                      tree.text(file))
            for folder, file in zip(folders, lists)
            if tree.exists(file)
        )
        if not any(named):
            yield Finding(path, f"is not built: name it in {lists[0]} or remove it")


# (the line that is printed, the check)
CHECKS = [
    ("layers: includes point down", layers),
    ("banned calls: the world comes in through its one file", banned_calls),
    ("banned includes: libraries stay in their one file", banned_includes),
    ("databases are opened by SQLite alone", databases_by_hand),
    ("tests do not wait for time", tests_do_not_sleep),
    (f"lengths: no file past {LINES_MAX} lines", file_lengths),
    (f"lengths: no function past {FUNCTION_LINES_MAX} lines", function_lengths),
    (f"lengths: no line past {COLUMNS_MAX} columns", line_lengths),
    ("form: clang-format", formatting),
    ("form: white space", whitespace),
    ("form: headers say what they are for", headers),
    ("nothing is left open", leftovers),
    ("every source is built", built_files),
]
