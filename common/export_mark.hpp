// export_mark.hpp: how the ledger marks an issuance whose code goes out by an export.
//
// Nobody is called about such a row, so it is never due.  While it is open its next_at_ms is a date
// in the year 9999 instead, which says how far it is and of which item: all rows of a job at one
// stage stand together in the index of what is due, are counted without being looked at, and hide
// none that are due.  Its downstream_version is 0, for ever.
//
// Queries have the marks as numbers: 253402300000000 is the first, each stage begins 1000 later.
//
// Threads: constants and pure functions.
#pragma once

#include <cstdint>
#include <optional>

#include "common/issuance_state.hpp"

namespace vouch {

enum class ExportStage : std::uint8_t {
  waits = 0,     // planned or waiting: an export may take it
  taken = 1,     // sending: it has its code, which stands in a file or will
  in_doubt = 2,  // the export that took it was not confirmed in time: its code may be in a file
};
inline constexpr int kExportStages = 3;

inline constexpr std::int64_t kExportMarksMs = 253'402'300'000'000;  // the first mark
inline constexpr std::int64_t kExportStageMs = 1'000;                // from stage to stage
inline constexpr std::int64_t kExportMarksEndMs = kExportMarksMs + kExportStages * kExportStageMs;

// By the issuance's downstream_version.
[[nodiscard]] constexpr bool is_by_export(std::int64_t downstream_version) {
  return downstream_version == 0;
}

[[nodiscard]] constexpr std::int64_t export_mark(ExportStage stage, int item) {
  return kExportMarksMs + static_cast<std::int64_t>(stage) * kExportStageMs + item;
}
static_assert(export_mark(ExportStage::taken, 0) == 253'402'300'001'000);
static_assert(export_mark(ExportStage::in_doubt, 0) == 253'402'300'002'000);
static_assert(kExportMarksEndMs == 253'402'300'003'000);
[[nodiscard]] constexpr bool is_export_mark(std::int64_t next_at_ms) {
  return next_at_ms >= kExportMarksMs && next_at_ms < kExportMarksEndMs;
}
[[nodiscard]] constexpr ExportStage export_stage(std::int64_t mark) {
  return static_cast<ExportStage>((mark - kExportMarksMs) / kExportStageMs);
}
[[nodiscard]] constexpr int export_item(std::int64_t mark) {
  return static_cast<int>((mark - kExportMarksMs) % kExportStageMs);
}

// The mark of a row in this state; nothing when it is not open, or people decide.
[[nodiscard]] constexpr std::optional<std::int64_t> export_mark_of(IssuanceState state, int item) {
  switch (state) {
    case IssuanceState::planned:
    case IssuanceState::waiting:
      return export_mark(ExportStage::waits, item);
    case IssuanceState::sending:
      return export_mark(ExportStage::taken, item);
    case IssuanceState::in_doubt:
      return export_mark(ExportStage::in_doubt, item);
    default:
      return std::nullopt;
  }
}

}  // namespace vouch
