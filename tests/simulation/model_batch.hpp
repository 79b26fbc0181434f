// model_batch.hpp: a call with several issuances, and the one answer to all of them.
//
// A service carries out each issuance for itself, sooner or later, or never.  Its answer has a
// result for those that it knows the end of by then, in any order.
//
// Threads: the simulation's only one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/wire/http_client.hpp"
#include "tests/simulation/ending.hpp"

namespace vouch::test {

inline constexpr std::string_view kBatchHead = R"({"issuances":)";
inline constexpr std::string_view kBatchTail = "}";
inline constexpr const char* kBatchStatus = "/http_status";

// One for each issuance in a call, with the bytes that stand there for it, and its key as a header
// of its own; a call that is no batch is all there is.
[[nodiscard]] std::vector<wire::HttpCall> parts_of(const wire::HttpCall& call);

// What a caller will learn of a call, batch or not: complete once its service has come to at().
struct CallEnding {
  struct Result {
    std::string key;
    std::shared_ptr<const Ending> of;
  };
  std::shared_ptr<const Ending> whole{};  // null: the answer has results
  std::vector<Result> results{};          // in the answer's order
  Instant begun{};
  Instant gives_up{};  // the caller

  [[nodiscard]] Instant at() const;
  [[nodiscard]] wire::HttpEnd end() const;
};

}  // namespace vouch::test
