// batch.hpp: several calls for vouchers in one HTTP call, each with a result of its own.
//
// {"issuances": [{"request_id": .., ..}, ..]} is answered with {"results": [{"http_status": 200,
// "request_id": .., ..}, ..]} in the same order.  There is no Idempotency-Key header: each call's
// request id is its key.
//
// Threads: plain values.
// Errors:  Errc::invalid, which the sandbox answers with 400: nothing is executed then.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/result.hpp"
#include "examples/sandbox/call.hpp"
#include "examples/sandbox/issuing_service.hpp"

namespace vouch::sandbox {

inline constexpr std::size_t kBatchCallsMax = 500;

[[nodiscard]] Result<std::vector<Call>> parse_batch(const access::HttpRequest& request);

// The answer's body.  With `every` 2 only every second result stands in it.
[[nodiscard]] std::string batch_body(std::span<const Call> calls, std::span<const Answer> answers,
                                     std::size_t every = 1);

}  // namespace vouch::sandbox
