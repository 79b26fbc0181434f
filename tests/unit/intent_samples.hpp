// intent_samples.hpp: intents for tests, with every member filled but those the test is about.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "common/crypto.hpp"
#include "common/identity.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::test {

inline constexpr ObjectId kSampleCampaign = 0x11;
inline constexpr ObjectId kSampleDownstream = 0x22;

// Keys in the order of their numbers.
[[nodiscard]] inline RecipientKey sample_recipient(int number) {
  RecipientKey key{};
  key[0] = static_cast<std::uint8_t>(number >> 8);
  key[1] = static_cast<std::uint8_t>(number);
  return key;
}

// Two items: a coupon of 500 EUR cents, and a gift without a value.
[[nodiscard]] inline std::shared_ptr<const plan::Campaign> sample_campaign() {
  static const auto campaign = [] {
    auto made = std::make_shared<plan::Campaign>();
    made->name = "birthday";
    made->items.resize(2);
    made->items[0].name = "coupon";
    made->items[0].downstream = "coupons";
    made->items[0].amount = {.fixed_minor = 500, .column = {}, .currency = "EUR"};
    made->items[1].number = 1;
    made->items[1].name = "gift";
    made->items[1].downstream = "coupons";
    return std::shared_ptr<const plan::Campaign>{made};
  }();
  return campaign;
}

[[nodiscard]] inline plan::Downstream sample_downstream() {
  plan::Downstream downstream;
  downstream.name = "coupons";
  downstream.url = "https://coupons.example/coupons";
  return downstream;
}

// The same, with this contract, and a query unless nobody can ask.
[[nodiscard]] inline std::shared_ptr<const plan::Downstream> sample_downstream_of(
    plan::Contract contract) {
  plan::Downstream downstream = sample_downstream();
  downstream.contract = contract;
  if (contract != plan::Contract::none) {
    downstream.query = plan::QueryForm{.url = "https://coupons.example/coupons/{request_id}",
                                       .outcomes = {{.status_min = 404,
                                                     .status_max = 404,
                                                     .pointer = "/code",
                                                     .value = "NOT_FOUND",
                                                     .outcome = Outcome::not_found}}};
  }
  return std::make_shared<const plan::Downstream>(std::move(downstream));
}

// A row of a list that is planned for the first time, of job 1 and campaign number 1.
[[nodiscard]] inline data::Intent sample_intent(int recipient, std::uint8_t item = 0) {
  static const auto definition = std::make_shared<const plan::Downstream>(sample_downstream());
  data::Intent intent;
  intent.key = {.campaign = kSampleCampaign,
                .recipient = sample_recipient(recipient),
                .occurrence = 0,
                .item = item};
  intent.campaign_number = 1;
  intent.job_number = 1;
  intent.campaign_version = 1;
  intent.downstream_version = 1;
  intent.downstream = kSampleDownstream;
  intent.campaign = sample_campaign();
  intent.definition = definition;
  intent.amount_minor = intent.item().amount.fixed_minor;
  intent.request_id = format_request_id(intent.key, 0);
  intent.call_digest = sha256_128(intent.request_id);
  intent.fresh = true;
  return intent;
}

}  // namespace vouch::test
