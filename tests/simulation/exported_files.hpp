// exported_files.hpp: the files that exports have written, as they lie on somebody's disk.
//
// Of a code only its ordinal is kept: which code that is, the sample pool knows.
//
// Threads: the simulation's only one.
#pragma once

#include <map>
#include <set>
#include <string>

#include "common/identity.hpp"

namespace vouch::test {

struct ExportedFile {
  std::map<std::int64_t, IssuanceKey> codes;  // by ordinal: whose each is
  bool is_complete = false;                   // and durable; else somebody died while writing it
  std::set<std::int64_t> confirmed;           // by ordinal: vouchd has said that they are issued
};

using ExportedFiles = std::map<std::string, ExportedFile>;  // by the export's id

}  // namespace vouch::test
