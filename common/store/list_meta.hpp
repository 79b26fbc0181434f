// list_meta.hpp: the facts about a sealed list, as rows of its meta table.
//
// Threads: pure functions.
// Errors:  Errc::store for a format of another version, Errc::corrupt for what is no meta table.
#pragma once

#include <map>
#include <string>

#include "common/result.hpp"
#include "common/store/sealed_list.hpp"

namespace vouch::store {

using MetaRows = std::map<std::string, std::string, std::less<>>;

[[nodiscard]] MetaRows meta_to_rows(const ListMeta& meta);
[[nodiscard]] Result<ListMeta> meta_from_rows(const MetaRows& rows);

}  // namespace vouch::store
