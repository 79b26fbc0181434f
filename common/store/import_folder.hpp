// import_folder.hpp: where a list is made before it has a name: recipients/.tmp-XXXXXX.
//
// The folder is this process's alone, and goes with it: a lock file in it is held for as long as
// the process lives, so that the next import knows what a killed one left behind and removes it.
//
// Threads: one at a time.
// Errors:  store when there is no recipients folder, not_permitted, io.
#pragma once

#include <string>

#include "common/files.hpp"
#include "common/result.hpp"

namespace vouch::store {

class ImportFolder {
 public:
  // Removes what dead imports of this account left in `recipients_folder`, and makes a new one.
  [[nodiscard]] static Result<ImportFolder> create(const std::string& recipients_folder);
  ImportFolder(ImportFolder&& other) noexcept = default;
  ImportFolder& operator=(ImportFolder&& other) noexcept = default;
  // Removes the folder with all that is in it.
  ~ImportFolder();

  [[nodiscard]] const std::string& path() const { return path_; }

  // Moves a finished and synced file of this folder to `name` in the recipients folder, readable
  // and no longer writable, for good.
  [[nodiscard]] Result<void> publish(const std::string& file, const std::string& name) const;

 private:
  ImportFolder(std::string recipients_folder, std::string path, FileDescriptor lock);

  std::string recipients_folder_;
  std::string path_;
  FileDescriptor lock_;  // not open once moved from
};

}  // namespace vouch::store
