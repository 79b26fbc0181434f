// Goal: an error of a file says what could not be done, why, and what its reader does next.
#include "common/files.hpp"

#include <doctest/doctest.h>

#include <cerrno>

#include "tests/support/temporary_folder.hpp"

using namespace vouch;

TEST_CASE("files: what the system says becomes a code that says what to do") {
  struct Row {
    int error_number;
    Errc code;
    bool has_hint;
  };
  for (const Row& row : {Row{ENOENT, Errc::not_found, true}, Row{EACCES, Errc::not_permitted, true},
                         Row{EROFS, Errc::not_permitted, true}, Row{EEXIST, Errc::conflict, false},
                         Row{EISDIR, Errc::invalid, true}, Row{ENOSPC, Errc::io, true},
                         Row{EFBIG, Errc::io, true}, Row{EIO, Errc::io, true}}) {
    CAPTURE(row.error_number);
    const Error error = system_error("a/b.csv", row.error_number, "write").value();
    CHECK(error.code == row.code);
    CHECK(error.message.starts_with("a/b.csv: cannot write: "));
    CHECK(error.hint.empty() != row.has_hint);
  }
  CHECK(system_error("x", ENOENT).value().message == "x: No such file or directory");
}

TEST_CASE("files: a folder is no file, a file has its bound, and a crash leaves the old content") {
  const test::TemporaryFolder folder;
  const auto content = read_file(folder.path().string(), 10);
  REQUIRE_FALSE(content);
  CHECK(content.error().code == Errc::invalid);

  const std::string path = folder / "small";
  REQUIRE(create_file(path, "0123456789", 0600));
  CHECK(read_file(path, 10) == "0123456789");
  CHECK(read_file(path, 9).error().code == Errc::invalid);
  CHECK(create_file(path, "other", 0600).error().code == Errc::conflict);
  REQUIRE(replace_file(path, "new", 0600));
  CHECK(read_file(path, 10) == "new");
}
