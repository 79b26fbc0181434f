// files.hpp: small files, written so that a crash or a reader meets the old content or the new.
//
// Not for databases: nothing but SQLite opens those, since closing a descriptor by hand would
// drop SQLite's locks.
//
// Threads: pure functions of the file system.
// Errors:  not_found, not_permitted, conflict (it exists), io; the path stands in the message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace vouch {

// The whole content; invalid when it is longer than `bytes_max`.  "-" is not special here.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t bytes_max);

// Written aside, fsynced and renamed over `path`, whose folder is fsynced too.
[[nodiscard]] Result<void> replace_file(const std::string& path, std::string_view content,
                                        unsigned mode);
// The same for a file that must not exist yet: conflict when it does.
[[nodiscard]] Result<void> create_file(const std::string& path, std::string_view content,
                                       unsigned mode);

// A folder and its missing parents; `mode` (with setgid and sticky bits) for the folder itself.
// What is there already stays as it is.
[[nodiscard]] Result<void> make_folder(const std::string& path, unsigned mode);

// Makes what was renamed, linked or removed in a folder durable.
[[nodiscard]] Result<void> sync_folder(const std::string& path);

[[nodiscard]] bool path_exists(const std::string& path);

// An error that says what the system said about `path`.
[[nodiscard]] tl::unexpected<Error> system_error(const std::string& path, int error_number);

}  // namespace vouch
