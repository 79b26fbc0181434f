"""Checks of what people read and run: man pages, README, schemas, examples, scripts."""

import json
import re
import stat

from tree import Finding

SCRIPTS = (".sh", ".bash")
MAN_PAGES = (
    "man/vouchctl.1", "man/vouchd.8", "man/vouchd.conf.5", "man/vouch-campaign.5", "man/vouch.7"
)  # fmt: skip
README_COMMANDS = ("examples/quickstart.sh", "tests/run.sh")

# (which examples, the schema they must satisfy)
EXAMPLES_OF_SCHEMAS = [
    (r"examples/(?:.*/)?campaigns?/.*\.json|examples/(?:.*/)?campaign[^/]*\.json",
     "schemas/campaign.schema.json"),
    (r"examples/(?:.*/)?downstreams?/.*\.json|examples/(?:.*/)?downstream[^/]*\.json",
     "schemas/downstream.schema.json"),
    (r"examples/(?:.*/)?outcomes?/.*\.json|examples/(?:.*/)?outcomes?[^/]*\.json",
     "schemas/outcomes.schema.json"),
]  # fmt: skip


def man_lint(tree):
    for path in tree.files(".1", ".5", ".7", ".8", under="man/"):
        done = tree.run("mandoc", "-T", "lint", "-W", "warning", path)
        for line in done.stdout.splitlines() + done.stderr.splitlines():
            match = re.match(r"mandoc: (.+?:\d+):\d+: (.*)", line)
            yield Finding(match[1] if match else path, match[2] if match else line)


def man_pages_exist(tree):
    if not (tree.files(".cpp", under="cli/") or tree.files(".cpp", under="daemon/")):
        return
    for path in MAN_PAGES:
        if not tree.exists(path):
            yield Finding(path, "is missing; the README and --help send people to it")


def commands_in_man_page(tree):
    """vouchctl(1) has a heading `.Ss job submit ...` or an item `.It Ic job submit` for each
    command that the program has, and none for one that it has not."""
    if not tree.files("main.cpp", under="cli/"):
        return
    program = tree.bin / "vouchctl"
    done = tree.run(str(program), "completion", "commands") if program.exists() else None
    if done is None or done.returncode != 0 or not done.stdout.strip():
        yield Finding(str(program), "`completion commands` gives no list: build vouchctl first")
        return
    if not tree.exists("man/vouchctl.1"):
        yield Finding("man/vouchctl.1", "is missing")
        return
    commands = {line.removeprefix("vouchctl ").strip() for line in done.stdout.splitlines()}
    entries = dict(_man_entries(tree.text("man/vouchctl.1"), commands))
    for command in sorted(commands - set(entries)):
        yield Finding("man/vouchctl.1", f"`{command}` has no entry: add `.It Ic {command}`")
    for entry in sorted(set(entries) - commands):
        yield Finding(f"man/vouchctl.1:{entries[entry]}", f"there is no command `{entry}`")


def _man_entries(text, commands):
    """Entries that begin as a command does: with the word of a group or of a command."""
    first_words = {command.split()[0] for command in commands}
    entry = re.compile(r'\.(?:Ss|It\s+(?:Xo\s+)?(?:Ic|Cm))\s+"?(?:vouchctl )?([a-z][a-z -]*)')
    for number, line in enumerate(text.split("\n"), 1):
        match = entry.match(line)
        if not match or match[1].split()[0] not in first_words:
            continue
        words = match[1].split()
        # The longest beginning that is a command; what follows are its arguments.
        names = [" ".join(words[:n]) for n in range(len(words), 0, -1)]
        yield next((n for n in names if n in commands), match[1].strip()), number


def readme(tree):
    if not tree.exists("README.md"):
        yield Finding("README.md", "is missing")
        return
    for command in README_COMMANDS:
        if command not in tree.text("README.md"):
            yield Finding("README.md", f"does not name {command}, one of its two commands")
        if not tree.exists(command):
            yield Finding(command, "is missing")
    for number, line in enumerate(tree.lines("README.md"), 1):
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", line):
            if not tree.exists(target):
                yield Finding(f"README.md:{number}", f"points to {target}, which is not there")


def schemas(tree):
    import jsonschema

    for path in tree.files(".schema.json"):
        try:
            schema = json.loads(tree.text(path))
            jsonschema.validators.validator_for(schema).check_schema(schema)
        except (ValueError, jsonschema.SchemaError) as error:
            yield Finding(path, f"is no valid JSON Schema: {str(error).splitlines()[0]}")


def without_json_comments(text):
    """Campaign files may hold // and /* */ comments."""
    token = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
    return token.sub(lambda m: m[0] if m[0].startswith('"') else " ", text)


def examples_fit_schemas(tree):
    import jsonschema

    for pattern, schema_path in EXAMPLES_OF_SCHEMAS:
        for path in tree.files(".json", under="examples/"):
            if not re.fullmatch(pattern, path) or not tree.exists(schema_path):
                continue
            schema = json.loads(tree.text(schema_path))
            validator = jsonschema.validators.validator_for(schema)(schema)
            try:
                value = json.loads(without_json_comments(tree.text(path)))
            except ValueError as error:
                yield Finding(path, f"is no JSON: {error}")
                continue
            for error in validator.iter_errors(value):
                where = "/".join(str(part) for part in error.absolute_path)
                yield Finding(path, f"/{where}: {error.message} ({schema_path})")


def scripts(tree):
    for path in _shell_scripts(tree):
        done = tree.run("bash", "-n", path)
        if done.returncode != 0:
            yield Finding(path, done.stderr.strip().splitlines()[0])


def shellcheck(tree):
    plain = list(_shell_scripts(tree))
    bats = tree.files(".bats")
    for dialect, files in (("bash", plain), ("bats", bats)):
        if not files:
            continue
        # Below warnings shellcheck 0.9 is wrong too often about traps and about bats.
        options = ("-x", "-f", "gcc", "-S", "warning", "-s", dialect)
        done = tree.run("shellcheck", *options, *files)
        for line in done.stdout.splitlines():
            match = re.match(r"(.+?:\d+):\d+: \w+: (.*)", line)
            yield Finding(match[1] if match else dialect, match[2] if match else line)
        if done.returncode not in (0, 1):
            yield Finding("shellcheck", done.stderr.strip()[:200] or "does not run")


def _shell_scripts(tree):
    for path in tree.files():
        if path.endswith(SCRIPTS):
            yield path
        elif "." not in path.rsplit("/", 1)[-1] and re.match(
            r"#!.*\b(?:ba|da)?sh\b", tree.text(path)
        ):
            yield path


def executable_scripts(tree):
    for path in tree.files():
        mode = (tree.root / path).stat().st_mode
        is_script = tree.text(path).startswith("#!")
        if is_script and not mode & stat.S_IXUSR and not path.endswith((".bash", ".bats", ".py")):
            yield Finding(path, f"has a #! line and cannot be run: chmod +x {path}")
        if mode & stat.S_IXUSR and not is_script:
            yield Finding(path, f"can be run and has no #! line: chmod -x {path}")


CHECKS = [
    ("man: pages are there", man_pages_exist),
    ("man: mandoc -T lint", man_lint),
    ("man: every command, and no other", commands_in_man_page),
    ("README: its two commands, and where it points", readme),
    ("schemas: valid", schemas),
    ("examples: fit their schemas", examples_fit_schemas),
    ("scripts: bash -n", scripts),
    ("scripts: shellcheck", shellcheck),
    ("scripts: can be run", executable_scripts),
]
