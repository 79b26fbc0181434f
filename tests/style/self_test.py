"""Does each check catch what it is for?  A rule that nothing can break is no rule.

Each row plants one violation in a copy of the tree and expects the named check to report it at
that place, and to have been silent about that place before.
"""

import os
import shutil
import tempfile
from pathlib import Path

import code_checks
import document_checks
from tree import Finding, Tree, functions

LONG_FUNCTION = "int planted() {\n" + "  planted();\n" * 69 + "}\n"
PLANTED_HPP = "// planted.hpp: planted.\n#pragma once\n"

# (check, file to write, its text, a word of the finding).  Text that begins with "+" is added
# to the file as it is.
PLANTS = [
    (code_checks.layers, "common/planted.cpp", '#include "daemon/access/http_server.hpp"\n', "may"),
    (code_checks.layers, "daemon/data/planted.hpp", '#include "daemon/service/pacer.hpp"\n', "may"),
    (code_checks.layers, "cli/planted.cpp", '#include "daemon/data/issuance_ledger.hpp"\n', "may"),
    (code_checks.layers, "common/wire/planted.cpp", '#include "common/store/database.hpp"\n',
     "may"),
    (code_checks.layers, "common/store/planted.cpp", '#include "common/plan/decode.hpp"\n', "may"),
    (code_checks.layers, "common/planted.cpp", '#include "result.hpp"\n', "no file"),
    (code_checks.layers, "elsewhere/planted.cpp", "int x;\n", "no layer"),
    (code_checks.banned_calls, "cli/planted.cpp", "auto t = std::chrono::steady_clock::now();\n",
     "clock"),
    (code_checks.banned_calls, "cli/planted.cpp", "auto t = time(nullptr);\n", "clock"),
    (code_checks.banned_calls, "tests/unit/planted.cpp", "void f() { usleep(1); }\n", "sleeping"),
    (code_checks.banned_calls, "daemon/planted.cpp", "std::random_device d;\n", "chance"),
    (code_checks.banned_calls, "daemon/planted.cpp", 'auto e = std::getenv("X");\n', "environ"),
    (code_checks.banned_calls, "cli/planted.cpp", "void f() { sqlite3_open(0, 0); }\n", "SQLite"),
    (code_checks.banned_calls, "cli/planted.cpp", "auto c = curl_easy_init();\n", "libcurl"),
    (code_checks.banned_calls, "cli/planted.cpp", 'auto c = redisConnect("", 1);\n', "hiredis"),
    (code_checks.banned_calls, "cli/planted.cpp", "void f() { throw 1; }\n", "throwing"),
    (code_checks.banned_calls, "cli/planted.cpp", "class PlantedManager;\n", "names"),
    (code_checks.banned_includes, "cli/planted.cpp", "#include <sqlite3.h>\n", "sqlite3"),
    (code_checks.banned_includes, "cli/planted.cpp", "#include <boost/asio.hpp>\n", "Boost"),
    (code_checks.banned_includes, "cli/planted.hpp", "#include <nlohmann/json.hpp>\n", "json_fwd"),
    (code_checks.databases_by_hand, "cli/planted.cpp", 'int f = open("ledger.db", 0);\n', "locks"),
    (code_checks.tests_do_not_sleep, "tests/unit/planted.cpp", "auto f = &sleep_until;\n", "wait"),
    (code_checks.file_lengths, "cli/planted.cpp", "int x;\n" * 601, "601"),
    (code_checks.function_lengths, "cli/planted.cpp", LONG_FUNCTION, "71"),
    (code_checks.line_lengths, "cli/planted.cpp", "// " + "x" * 98 + "\n", "101"),
    (code_checks.formatting, "cli/planted.cpp", "int  x ;\n", "clang-format"),
    (code_checks.whitespace, "cli/planted.cpp", "int x; \n", "trailing"),
    (code_checks.whitespace, "cli/planted.cpp", "int x;\r\n", "trailing"),
    (code_checks.whitespace, "cli/planted.cpp", "int x;", "newline"),
    (code_checks.headers, "cli/planted.hpp", "#pragma once\n", "begin"),
    (code_checks.headers, "cli/planted.hpp", PLANTED_HPP + "using namespace std;\n", "using"),
    (code_checks.leftovers, "cli/planted.cpp", "// TO" "DO: all of it\n", "left open"),
    (code_checks.built_files, "cli/planted.cpp", "int x;\n", "not built"),
    (document_checks.man_lint, "man/planted.7", ".Dd $Mdocdate$\n.Dt X 7\n.Os\n.Sh NAME\n.Xx\n",
     ""),
    (document_checks.readme, "README.md", "nothing\n", "two commands"),
    (document_checks.readme, "README.md", "+[this](no/such/file)\n", "not there"),
    (document_checks.schemas, "schemas/planted.schema.json", '{"type": "planted"}\n', "no valid"),
    (document_checks.scripts, "scripts/planted.sh", "#!/bin/bash\nif\n", "syntax"),
    (document_checks.shellcheck, "scripts/planted.sh", "#!/bin/bash\nx=1; echo $y\n", "SC"),
    (document_checks.executable_scripts, "scripts/planted.sh", "#!/bin/bash\n", "chmod +x"),
]  # fmt: skip


def _copy(tree, folder):
    for path in tree.files():
        target = Path(folder, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree.root / path, target)


def _reports(check, folder, tree, planted, word):
    # Only what is planted counts: other findings of the tree are told by the checks themselves.
    found = check(Tree(folder, tree.bin))
    return any(f.place.split(":")[0] == planted and word in f.what for f in found)


def _plant(folder, planted, text):
    path = Path(folder, planted)
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.parent.mkdir(parents=True, exist_ok=True)
    added = (before or "") + text[1:] if text.startswith("+") else text
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write(added)
    return before


def _remove(folder, planted, before):
    path = Path(folder, planted)
    if before is None:
        os.remove(path)
    else:
        path.write_text(before, encoding="utf-8")


def violations_are_caught(tree):
    with tempfile.TemporaryDirectory(prefix="vouch-style-") as name:
        folder = Path(name)
        _copy(tree, folder)
        for check, planted, text, word in PLANTS:
            before = _plant(folder, planted, text)
            if not _reports(check, folder, tree, planted, word):
                line = text.strip().split("\n", maxsplit=1)[0][:60]
                yield Finding(planted, f"{check.__name__} does not catch: {line}")
            _remove(folder, planted, before)


# Where functions begin and end, in the forms that our code has.
FORMS = """
namespace a {
constexpr int kTable[] = {1, 2};
class B {
 public:
  B() : x_{1}, y_(2) {
    f();
  }
  ~B() = default;
  int get() const { return x_; }
 private:
  int x_{0};
};
struct C : B {
  int v = 3;
};
Result<std::vector<int>> B::all(int a, int b) const noexcept {
  if (a) { return {}; }
  auto f = [](int z) { return z; };
  return {1'000'000, b};
}
template <typename T> requires requires(T t) { t.x; }
void g(T t) {
}
TEST_CASE("a { brace") {
  const char* s = R"sql( { )sql";  // }
}
}  // namespace a
"""
WANT = [("B", 6, 8), ("get", 10, 10), ("B::all", 17, 21), ("TEST_CASE", 25, 27)]


def functions_are_found(_tree):
    found = list(functions(FORMS))
    for want in WANT:
        if want not in found:
            yield Finding("tests/style/tree.py", f"functions() misses {want}; it finds {found}")


def examples_are_held_to_schemas(tree):
    text = '{ // a comment\n "a": "http://b", /* c */ "d": 1 }'
    if document_checks.without_json_comments(text).split() != '{ "a": "http://b", "d": 1 }'.split():
        yield Finding("tests/style/document_checks.py", "comments of JSON are not taken out")


def checks(_tree):
    return [
        ("self-test: functions are found", functions_are_found),
        ("self-test: JSON with comments is read", examples_are_held_to_schemas),
        (f"self-test: {len(PLANTS)} planted violations are caught", violations_are_caught),
    ]
