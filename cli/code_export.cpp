#include "cli/code_export.hpp"

#include <algorithm>
#include <utility>

#include "common/failpoint.hpp"
#include "common/text.hpp"

namespace vouch::cli {
namespace {

constexpr std::int64_t kCodesInCall = 1000;  // vouchd takes no more

}  // namespace

Result<CodeExport> CodeExport::find(Session& session, store::LedgerView& ledger,
                                    const store::PoolRow& pool, ObjectId job) {
  VOUCH_TRY(store::ControlStore * control, session.control());
  CodeExport found{pool, format_id(ObjectKind::code_export, new_object_id(session.random()))};
  found.of_one_job_ = job != 0;
  VOUCH_TRY(const auto jobs, control->jobs());
  for (const store::JobRow& row : jobs) {
    if (job != 0 && row.id != job) continue;
    VOUCH_TRY(const plan::Campaign campaign,
              control->campaign_version(row.campaign, row.campaign_version));
    VOUCH_CHECK(found.add(ledger, campaign, {row.id, format_id(ObjectKind::job, row.id)}));
  }
  if (job != 0) return found;
  // Single issuances share a job that has their campaign's own id.
  VOUCH_TRY(const auto campaigns, control->campaigns());
  for (const store::CampaignRow& row : campaigns) {
    VOUCH_CHECK(
        found.add(ledger, row.definition, {row.id, format_id(ObjectKind::campaign, row.id)}));
  }
  return found;
}

Result<void> CodeExport::add(store::LedgerView& ledger, const plan::Campaign& campaign,
                             Target target) {
  const auto is_here = [&](const plan::Item& item) {
    return item.by_export() && item.pool == pool_->name;
  };
  if (std::ranges::none_of(campaign.items, is_here)) return {};
  VOUCH_TRY(const auto counted, ledger.exports(target.job));
  bool waits = false;
  for (const store::ExportRows& part : counted) {
    const auto item = static_cast<std::size_t>(part.item);
    if (item >= campaign.items.size() || !is_here(campaign.items[item])) continue;
    VOUCH_TRY(const std::int64_t codeless, ledger.exports_without_code(target.job, part));
    if (part.stage == ExportStage::waits) {
      waits = true;
      waiting_ += part.rows;
      codes_wanted_ += codeless;
    } else {
      taken_ += part.rows - codeless;
      unknown_ += codeless;
    }
  }
  if (waits) targets_.push_back(std::move(target));
  return {};
}

Result<void> CodeExport::check(Session& session, std::int64_t codes_left) {
  if (codes_wanted_ > codes_left) {
    return fail(Errc::attention,
                "the pool " + pool_->name + " has " + format_count(codes_left) +
                    " codes left, and " + format_count(codes_wanted_) + " rows wait for one: " +
                    format_count(codes_wanted_ - codes_left) + " are missing; none was taken",
                "vouchctl pool generate " + pool_->name + " --count " +
                    std::to_string(codes_wanted_ - codes_left) + ", or pool import");
  }
  if (session.dry_run() || !is_needed()) return {};
  if (pool_->instance != session.instance()) {
    return fail(Errc::usage,
                "the codes of the pool " + pool_->name + " are handed out by the instance \"" +
                    pool_->instance + "\"",
                "add --instance " + pool_->instance);
  }
  return open(session);
}

Result<void> CodeExport::open(Session& session) {
  if (vouchd_) return {};
  VOUCH_TRY(vouchd_, ControlCall::open(session));
  return {};
}

Result<void> CodeExport::take(const Observe& observe) {
  std::int64_t done = 0;
  for (const Target& target : targets_) {
    const Json body{{"export", id_}, {"pool", pool_->name}, {"job", target.name}};
    for (bool more = true; more;) {
      reach_failpoint("export-take-not-asked");
      const auto answer = vouchd_->post("/exports/take", body);
      if (!answer && answer.error().code == Errc::conflict && !of_one_job_) {
        left_out_.push_back(target.name + ": " + answer.error().message);
        break;
      }
      if (!answer) return within(target.name, answer.error());
      done += answer->value("rows", std::int64_t{0});
      more = answer->value("more", false);
      observe(done, std::max(done, waiting_));
    }
  }
  return {};
}

void CodeExport::note(std::int64_t ordinal) {
  ++noted_;
  if (!runs_.empty() && runs_.back().first + runs_.back().codes == ordinal) {
    ++runs_.back().codes;
  } else {
    runs_.push_back({ordinal, 1});
  }
}

Result<std::int64_t> CodeExport::confirm_page(const Json& runs) {
  const Json body{{"export", id_}, {"pool", pool_->name}, {"runs", runs}};
  VOUCH_TRY(const Json answer, vouchd_->post("/exports/confirm", body));
  return answer.value("rows", std::int64_t{0});
}

Result<std::int64_t> CodeExport::confirm(Session& session, const Observe& observe) {
  // Rows may have come since check(), and somebody else may have taken them.
  if (!runs_.empty()) VOUCH_CHECK(open(session));
  Json page = Json::array();
  std::int64_t in_page = 0;
  std::int64_t issued = 0;
  std::int64_t done = 0;
  const auto send = [&]() -> Result<void> {
    VOUCH_TRY(const std::int64_t rows, confirm_page(page));
    reach_failpoint("export-page-confirmed");
    issued += rows;
    done += in_page;
    observe(done, noted_);
    page = Json::array();
    in_page = 0;
    return {};
  };
  for (const Run& run : runs_) {
    for (Run left = run; left.codes > 0;) {
      const std::int64_t codes = std::min(left.codes, kCodesInCall - in_page);
      page.push_back({left.first, codes});
      in_page += codes;
      left = {left.first + codes, left.codes - codes};
      if (in_page == kCodesInCall) VOUCH_CHECK(send());
    }
  }
  if (in_page > 0) VOUCH_CHECK(send());
  return issued;
}

}  // namespace vouch::cli
