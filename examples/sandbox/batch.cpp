#include "examples/sandbox/batch.hpp"

#include <set>

#include "common/json.hpp"

namespace vouch::sandbox {

Result<std::vector<Call>> parse_batch(const access::HttpRequest& request) {
  VOUCH_TRY(const Json body, parse_json(request.body));
  const auto list = body.is_object() ? body.find("issuances") : body.end();
  if (list == body.end() || !list->is_array() || list->empty() || list->size() > kBatchCallsMax) {
    return fail(Errc::invalid, "/issuances: must be an array of 1 to " +
                                   std::to_string(kBatchCallsMax) + " calls");
  }
  std::vector<Call> calls;
  std::set<std::string> ids;
  for (const Json& entry : *list) {
    const std::string place = "/issuances/" + std::to_string(calls.size());
    auto call = parse_call_body(entry.dump());
    if (!call) return within(place, call.error());
    if (!ids.insert(call->request_id).second) {
      return fail(Errc::invalid, place + "/request_id: stands there twice");
    }
    call->key = call->request_id;
    call->digest_names();
    call->connection = request.connection;
    calls.push_back(std::move(*call));
  }
  return calls;
}

std::string batch_body(std::span<const Call> calls, std::span<const Answer> answers,
                       std::size_t every) {
  std::string body = "{\"results\":";
  char before = '[';
  for (std::size_t i = 0; i < calls.size(); i += every) {
    body += before;
    before = ',';
    body += "{\"http_status\":" + std::to_string(answers[i].status) + ",";
    if (answers[i].status != 200) {  // a refusal says what, and not to whom
      body += "\"request_id\":";
      append_json_text(body, calls[i].request_id);
      body += ',';
    }
    body.append(answers[i].body, 1);
  }
  return body + "]}";
}

}  // namespace vouch::sandbox
