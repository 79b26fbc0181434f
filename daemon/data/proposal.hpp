// proposal.hpp: what people want to be done with rows in doubt or held, as a value.
//
// A proposal names its rows, each as it was when it was made.  A grant lets them be settled, a page
// a transaction; a row that has changed meanwhile is left alone and counted.  What a downstream's
// statement says is proposed in the same way where two must agree.
//
// Threads: values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.hpp"
#include "common/identity.hpp"
#include "common/issuance_state.hpp"

namespace vouch::data {

enum class ProposalState : std::uint8_t {
  draft = 0,    // its rows are still being given
  open = 1,     // waits for a yes or a no
  granted = 2,  // is being carried out
  done = 3,
  refused = 4,  // or given up before it was complete
};
[[nodiscard]] constexpr std::string_view name_of(ProposalState state) {
  constexpr std::string_view names[] = {"draft", "open", "granted", "done", "refused"};
  return names[static_cast<std::size_t>(state)];
}

// Who did it: the operator's name, and the account as the kernel named it.
struct Authority {
  std::string operator_name;
  std::string account;
  std::uint32_t uid = 0;
};

struct ProposalItem {
  int item = 0;
  std::int64_t rows = 0;
  std::int64_t amount_minor = 0;
};

struct Grant {
  bool granted = true;
  Authority by;
  WallTime at;
  std::string words;
};

struct Proposal {
  ObjectId id = 0;
  ProposalState state = ProposalState::draft;
  ObjectId job = 0;
  IssuanceState to = IssuanceState::failed;  // waiting, issued or failed
  std::string reason;
  std::string evidence;   // of issued rows without a reference of their own
  std::string statement;  // the downstream's, that says so; empty: people do
  std::string scope;      // which rows these are, in words
  Authority by;
  WallTime at;
  std::int64_t rows = 0;
  Digest128 digest{};  // of the rows, in any order: a SetDigest of proposal_member()s
  std::int64_t rows_left = 0;
  std::int64_t rows_applied = 0;
  std::optional<WallTime> ended;
  std::vector<ProposalItem> items;
  std::optional<Grant> grant;

  [[nodiscard]] std::int64_t rows_left_alone() const { return rows - rows_left - rows_applied; }
};

struct ProposedRow {
  std::string request_id;
  IssuanceState state = IssuanceState::held;
  std::optional<std::int64_t> last_event;
  std::string reference;
  std::optional<std::int64_t> amount_minor{};  // as the statement has it; nothing: it does not say
};
inline constexpr int kProposalRowsPage = 1000;

}  // namespace vouch::data
