// embedded.hpp: text files compiled into the program (SQL migrations, schemas).
// Each table is made at build time by vouch_embed in cmake/embed.cmake.
#pragma once

#include <span>
#include <string_view>

namespace vouch::embedded {

struct File {
  std::string_view name;  // file name without its folder, e.g. "001_ledger.sql"
  std::string_view text;
};

extern const std::span<const File> control_migrations;
extern const std::span<const File> ledger_migrations;
extern const std::span<const File> list_migrations;
extern const std::span<const File> pool_migrations;

}  // namespace vouch::embedded
