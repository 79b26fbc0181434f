#include "cli/proposal_draft.hpp"

namespace vouch::cli {
namespace {

// vouchd takes no more, in a body of at most a mebibyte.
constexpr std::size_t kRowsInCall = 1000;
constexpr std::size_t kReferenceBytesInCall = std::size_t{256} * 1024;

}  // namespace

Result<ProposalDraft> ProposalDraft::begin(const ControlCall& vouchd, const Json& draft) {
  VOUCH_TRY(const Json made, vouchd.post("/proposals", draft));
  return ProposalDraft{vouchd, made.at("proposal").value("id", std::string{})};
}

Result<void> ProposalDraft::add(Json row) {
  bytes_ += row.value("reference", std::string{}).size();
  rows_.push_back(std::move(row));
  const bool is_full = rows_.size() == kRowsInCall || bytes_ >= kReferenceBytesInCall;
  return is_full ? flush() : Result<void>{};
}

Result<void> ProposalDraft::flush() {
  if (rows_.empty()) return {};
  const Json body{{"rows", std::move(rows_)}};
  rows_ = Json::array();
  bytes_ = 0;
  return vouchd_->post("/proposals/" + id_ + "/rows", body).map([](const Json&) {});
}

Result<void> ProposalDraft::open(std::int64_t rows, const std::string& digest) {
  VOUCH_CHECK(flush());
  const Json sum{{"rows", rows}, {"digest", digest}};
  return vouchd_->post("/proposals/" + id_ + "/open", sum).map([](const Json&) {});
}

}  // namespace vouch::cli
