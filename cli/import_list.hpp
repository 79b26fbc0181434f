// import_list.hpp: a partner's file becomes a list of the store, for `recipients import` and for
// `job submit --file`, which take the same options.
//
// Threads: main's.
// Errors:  those of import_recipients and of ControlStore::register_list.  A file that was read to
//          its end and refused is no error here but a summary with a refusal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/session.hpp"
#include "common/store/import_folder.hpp"
#include "common/store/list_importer.hpp"

namespace vouch::cli {

struct ImportOptions {
  std::string file;  // or "-"
  std::string campaign;
  std::string name;  // of the list
  std::vector<std::string> mappings;
  std::string encoding, delimiter, id_type, country, amount_unit, on_error, max_rejects;
  std::optional<std::int64_t> rows_min;
  std::string rejects_file;
  bool again = false;
};

// Everything but the file, the campaign, the name and --min-rows, which their commands explain.
void add_import_arguments(Arguments& arguments, ImportOptions& options);

struct ImportedList {
  store::ListRow list;  // as the store knows it; without an id when it was refused
  bool existed = false;
  store::ImportSummary summary;
  std::string sealed_file;  // empty when nothing was sealed
  // Of a dry run that is to look at the rows: they are sealed here, and go with it.
  std::optional<store::ImportFolder> scratch;
};

// Of --delimiter and --map, for whoever reads a partner's file.
[[nodiscard]] Result<char> delimiter_of(const std::string& word);
[[nodiscard]] Result<std::vector<store::ColumnMapping>> mappings_of(
    const std::vector<std::string>& texts);

// What a dry run is to leave in the hands of its caller.
enum class DryRunSeals : std::uint8_t { nothing, in_scratch };

// Reads, checks and seals.  The list has no id yet and the store does not know it: it is to be
// registered or discarded.
[[nodiscard]] Result<ImportedList> seal_list(Session& session, const ImportOptions& options,
                                             DryRunSeals dry_run_seals);
// Makes it known; discards it where that is refused.
[[nodiscard]] Result<void> register_list(Session& session, const ImportOptions& options,
                                         ImportedList& imported);
// Takes what seal_list has sealed away again, unless the content is known under another name.
void discard_list(Session& session, const ImportedList& imported);

// What people are told on stderr besides the summary: rejects, duplicates, warnings.
void tell_findings(Session& session, const ImportedList& imported);

// The summary as it is kept in the control store, JSON.
[[nodiscard]] std::string summary_json(const store::ImportSummary& summary,
                                       const std::optional<plan::Campaign>& campaign);

// A list as `recipients import` and `recipients show` print it; `campaign` is its name or "".
[[nodiscard]] Record record_of(const store::ListRow& list, const std::string& campaign,
                               bool for_people);

// A name for a list that was given none: `text` with what a name may not hold replaced, and the
// digest's first letters where that changed anything.
[[nodiscard]] std::string list_name_for(std::string_view text);

}  // namespace vouch::cli
