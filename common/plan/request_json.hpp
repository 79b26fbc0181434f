// request_json.hpp: the JSON form of request shapes, batches and signatures.  Included by .cpp
// files only, since it brings nlohmann's header with it.
//
// Threads: pure functions.   Errors: invalid, naming the place as a JSON pointer.
#pragma once

#include "common/json.hpp"
#include "common/plan/downstream.hpp"

namespace vouch::plan {

// The members "request" and "signing" of a definition that is being read.
[[nodiscard]] Result<void> read_call_forms(JsonReader& reader, Downstream& out);
// What concerns more than one member; `out` is read whole.
[[nodiscard]] Result<void> check_call_forms(const Downstream& downstream);

// The member "batch", and how it goes with the others.
[[nodiscard]] Result<void> read_batch_form(JsonReader& reader, Downstream& out);
[[nodiscard]] Result<void> check_batch_form(const Downstream& downstream);

[[nodiscard]] Json request_form_json(const RequestForm& form);
[[nodiscard]] Json batch_form_json(const BatchForm& form);
[[nodiscard]] Json signing_form_json(const SigningForm& form);

}  // namespace vouch::plan
