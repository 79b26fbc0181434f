// call_form.hpp: from an issuance to the bytes of its call.
//
// URL, headers and body are a pure function of the definitions' versions, list row and request id,
// so that a repeated call is the same to the byte; the digest over method, URL, key and body is
// kept with the row and compared before anything is repeated.  Credentials are no part of it: they
// are made anew.
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/crypto.hpp"
#include "common/plan/campaign.hpp"
#include "common/wire/http_client.hpp"
#include "daemon/data/intent.hpp"

namespace vouch::service {

// {"request_id":..,"recipient_id":..,"campaign":..,"item":..,"code":..,"amount_minor":..,
// "currency":..} and the item's own fields; for the code stands its place (plan::code_place).
[[nodiscard]] std::string call_body(const plan::Item& item, std::string_view campaign_id,
                                    std::string_view recipient_id, std::string_view request_id,
                                    std::optional<std::int64_t> amount_minor);

[[nodiscard]] Digest128 call_digest(std::string_view url, std::string_view request_id,
                                    std::string_view body, std::string_view method = "POST");

// Request id, URL, headers, body and digest of an intent whose other members are there.
void fill_call(data::Intent& intent, std::string_view campaign_id, std::string_view recipient_id,
               std::span<const plan::AttributeValue> attributes = {});

// Takes URL, headers and bodies out of the intents, which go in one call (plan::BatchForm; else it
// is one), and puts the codes of those that have one in their places.
[[nodiscard]] wire::HttpCall make_call(std::span<data::Intent> intents, std::string_view bearer);

}  // namespace vouch::service
