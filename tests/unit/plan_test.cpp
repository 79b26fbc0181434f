#include <doctest/doctest.h>

#include "common/files.hpp"
#include "common/json.hpp"
#include "common/plan/campaign.hpp"
#include "common/plan/downstream.hpp"
#include "common/plan/item_set.hpp"
#include "common/text.hpp"

using namespace vouch;
using namespace vouch::plan;

namespace {

constexpr std::string_view kItem = R"({"name":"c","kind":"coupon","downstream":"coupons"})";

// A campaign around the items and further members given.
std::string campaign_text(std::string_view items, std::string_view more = "") {
  std::string text = R"({"name":"birthday","items":[)";
  text += items;
  text += "]";
  if (!more.empty()) text += "," + std::string{more};
  return text + "}";
}

std::string downstream_text(std::string_view more = "") {
  std::string text =
      R"({"name":"coupons","kind":"coupon","url":"https://a.example/c","contract":"key")";
  if (!more.empty()) text += "," + std::string{more};
  return text + "}";
}

template <typename T>
std::string message_of(const Result<T>& result) {
  return result ? "accepted" : result.error().message;
}

}  // namespace

TEST_CASE("campaign: a file with everything is read, and its canonical form reads the same") {
  const auto campaign = parse_campaign(R"(
    // what partners send us in November
    {
      "name": "birthday-2026",
      "description": "a coupon and five euros",
      "items": [
        {"name": "coupon", "kind": "coupon", "downstream": "coupons",
         "fields": {"template": "BDAY10", "tags": ["a", 1]}},
        {"name": "credit", "kind": "balance", "downstream": "balances",
         "amount": {"minor": 500, "currency": "EUR"}},
        {"name": "extra", "kind": "balance", "downstream": "balances",
         "amount": {"column": "bonus", "currency": "JPY"}}
      ],
      "window": {"not_before": "2026-11-22T10:00+02:00", "not_after": "2026-12-01T00:00:00Z"},
      "once_per": {"column": "order_no"},  /* one for each order */
      "time_zone": "Europe/Berlin",
      "amount_max_minor": 10000
    })");
  REQUIRE_MESSAGE(campaign, message_of(campaign));
  CHECK(campaign->items.size() == 3);
  CHECK(campaign->items[2].number == 2);
  CHECK(campaign->items[0].fields_json == R"({"template":"BDAY10","tags":["a",1]})");
  CHECK(campaign->items[1].amount.fixed_minor == 500);
  CHECK(campaign->once_per == OncePer::column);
  CHECK(campaign->once_per_column == "order_no");
  CHECK(to_ms(*campaign->not_before) == 1'795'334'400'000);

  const auto columns = amount_columns(*campaign);
  REQUIRE(columns.size() == 1);
  CHECK(columns[0].column == "bonus");
  CHECK(columns[0].digits == 0);

  const std::string stored = to_json(*campaign);
  const auto again = parse_campaign(stored);
  REQUIRE_MESSAGE(again, message_of(again));
  CHECK(to_json(*again) == stored);
  CHECK(again->not_before == campaign->not_before);
  CHECK(again->items[2].amount.column == "bonus");
}

TEST_CASE("campaign: what is wrong is named with its place") {
  struct Row {
    std::string text;
    std::string_view message;
  };
  const std::string item{kItem};
  const Row rows[] = {
      {"[]", "the document: must be an object"},
      {campaign_text(""), "/items: must be an array of 1 to 32"},
      {campaign_text(item + "," + item), "/items/1/name: \"c\" stands there twice"},
      {campaign_text(item, R"("once_per":"week")"),
       "/once_per: must be campaign, year, month, day or job or {\"column\": \"...\"}"},
      {campaign_text(item, R"("once_per":{"column":"recipient_id"})"),
       "/once_per/column: recipient_id is the recipient, choose another column"},
      {campaign_text(item, R"("time_zone":"Mars/Olympus")"),
       "/time_zone: \"Mars/Olympus\" is not a time zone"},
      {campaign_text(item, R"("time_zone":"../../etc/passwd")"),
       "/time_zone: \"../../etc/passwd\" is not a time zone"},
      {campaign_text(item, R"("window":{"not_before":"yesterday"})"),
       "/window/not_before: \"yesterday\" is not a time with its offset"},
      {campaign_text(item, R"("window":{"not_before":"2026-13-22T10:00Z"})"),
       "/window/not_before: \"2026-13-22T10:00Z\" is not a time"},
      {campaign_text(item, R"("window":{"not_before":"2026-11-22T10:00Z",)"
                           R"("not_after":"2026-11-22T10:00+02:00"})"),
       "/window/not_after: must be later than not_before"},
      {campaign_text(R"({"name":"C","kind":"coupon","downstream":"d"})"),
       "/items/0/name: \"C\" is not a name"},
      {campaign_text(R"({"name":"c","kind":"voucher","downstream":"d"})"),
       "/items/0/kind: must be coupon, balance, other or code, not \"voucher\""},
      {campaign_text(R"({"name":"c","kind":"balance","downstream":"d"})"),
       "/items/0/amount: is missing: a balance needs one"},
      {campaign_text(R"({"name":"c","kind":"balance","downstream":"d","amount":{"minor":5}})"),
       "/items/0/amount/currency: is missing"},
      {campaign_text(R"({"name":"c","kind":"balance","downstream":"d",)"
                     R"("amount":{"minor":5,"column":"v","currency":"EUR"}})"),
       "/items/0/amount: must have either \"minor\" or \"column\""},
      {campaign_text(R"({"name":"c","kind":"balance","downstream":"d",)"
                     R"("amount":{"minor":5,"currency":"EUX"}})"),
       "/items/0/amount/currency: \"EUX\" is not a currency"},
      {campaign_text(R"({"name":"c","kind":"balance","downstream":"d",)"
                     R"("amount":{"minor":12.5,"currency":"EUR"}})"),
       "/items/0/amount/minor: must be a whole number"},
      {campaign_text(R"({"name":"c","kind":"coupon","downstream":"d",)"
                     R"("fields":{"request_id":"x"}})"),
       "/items/0/fields/request_id: vouchd writes this member itself"},
      {campaign_text(R"({"name":"c","kind":"coupon","downstream":"d","fieldz":{}})"),
       "/items/0/fieldz: unknown key"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    CHECK(message_of(parse_campaign(row.text)) == row.message);
  }
}

TEST_CASE("campaign: a column that two items read has one currency") {
  const auto item = [](std::string_view name, std::string_view currency) {
    return R"({"name":")" + std::string{name} +
           R"(","kind":"balance","downstream":"d","amount":{"column":"v","currency":")" +
           std::string{currency} + R"("}})";
  };
  CHECK(parse_campaign(campaign_text(item("a", "EUR") + "," + item("b", "EUR"))));
  CHECK(message_of(parse_campaign(campaign_text(item("a", "EUR") + "," + item("b", "JPY")))) ==
        "/items/1/amount/currency: the column \"v\" is in EUR above");
}

TEST_CASE("names: what a shell, a URL and a file can hold without quoting") {
  for (const char* good : {"a", "0", "spring-sale_2.0", "x.y"}) CHECK(check_name("name", good));
  const std::string long_name(64, 'a');
  for (const std::string& bad :
       {std::string{}, std::string{"A"}, std::string{".a"}, std::string{"-a"}, std::string{"a b"},
        std::string{"a/b"}, std::string{"\xc3\xa4"}, std::string{"a\x1b[31m"}, long_name}) {
    CAPTURE(bad);
    const auto checked = check_name("name", bad);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().message.find('\x1b') == std::string::npos);
  }
}

TEST_CASE("occurrence: the civil date counts in the campaign's time zone") {
  // 2026-12-31 23:30 in London is already the next year in Berlin.
  const WallTime eve = parse_time("2026-12-31T23:30:00Z", WallTime{}).value();
  const auto london = date_in_zone(eve, "Europe/London").value();
  const auto berlin = date_in_zone(eve, "Europe/Berlin").value();
  CHECK(occurrence_of(OncePer::year, london, 7) == 2026);
  CHECK(occurrence_of(OncePer::year, berlin, 7) == 2027);
  CHECK(occurrence_of(OncePer::month, berlin, 7) == 202701);
  CHECK(occurrence_of(OncePer::day, london, 7) == 20261231);
  CHECK(occurrence_of(OncePer::campaign, london, 7) == 0);
  CHECK(occurrence_of(OncePer::job, london, 7) == 7);
  CHECK(occurrence_of_value("order 1") != occurrence_of_value("order 2"));
  CHECK(occurrence_of_value("order 1") < (std::uint64_t{1} << 48));
}

TEST_CASE("dates: only real ones, in one form") {
  CHECK(parse_date("2028-02-29"));
  for (const char* bad : {"2026-02-29", "2026-13-01", "2026-1-1", "20261122", "2026-11-22T", "",
                          "abcd-ef-gh", "0000-01-01", "2026-00-10", "-026-01-01"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_date(bad));
  }
}

TEST_CASE("downstream: what is not said has its default, and what is said comes back") {
  const auto plain = parse_downstream(downstream_text());
  REQUIRE_MESSAGE(plain, message_of(plain));
  CHECK(plain->timeout == Millis{10'000});
  CHECK(plain->reference_pointer == "/reference");

  const auto full = parse_downstream(downstream_text(R"(
    "timeout_ms": 1000, "connect_timeout_ms": 500, "key_lifetime_ms": 3600000,
    "in_flight_max": 256, "sheds_before_executing": true, "bearer_file": "/etc/vouch/token",
    "code_pointer": "/error/code", "address_allow": "2001:db8::/32",
    "outcomes": [{"status": 422, "pointer": "/code", "value": "BLOCKED", "outcome": "declined"},
                 {"status": "5xx", "pointer": "/final", "value": true, "outcome": "retry"},
                 {"status": "400-410", "outcome": "hold"}])"));
  REQUIRE_MESSAGE(full, message_of(full));
  REQUIRE(full->outcomes.size() == 3);
  CHECK(full->outcomes[1].status_max == 599);
  CHECK(full->outcomes[1].value == "true");
  CHECK(full->outcomes[1].outcome == Outcome::not_executed);
  const std::string stored = to_json(*full);
  CHECK(to_json(parse_downstream(stored).value()) == stored);
}

TEST_CASE("downstream: what is wrong is named with its place") {
  struct Row {
    std::string_view member;
    std::string_view message;
  };
  const Row rows[] = {
      {R"("timeout_ms":0)", "/timeout_ms: must be from 1 to 600000"},
      {R"("key_lifetime_ms":12500)",
       "/key_lifetime_ms: is too short: 0.8 of it must outlast timeout_ms, or no call could "
       "safely be repeated"},
      {R"("in_flight_max":2000)", "/in_flight_max: must be from 1 to 1024"},
      {R"("bearer_file":"token")", "/bearer_file: must be an absolute path"},
      {R"("id_pointer":"id")", "/id_pointer: must be a JSON pointer such as /voucher/id"},
      {R"("id_pointer":"/a~2")", "/id_pointer: must be a JSON pointer such as /voucher/id"},
      {R"("address_allow":"10.0.0.0/33")", "/address_allow: must be a network such as 10.0.0.0/8"},
      {R"("outcomes":[{"status":"6xx","outcome":"hold"}])",
       "/outcomes/0/status: must be a status such as 422, \"4xx\" or \"400-499\""},
      {R"("outcomes":[{"status":"410-400","outcome":"hold"}])",
       "/outcomes/0/status: must be a status such as 422, \"4xx\" or \"400-499\""},
      {R"("outcomes":[{"status":422,"value":"x","outcome":"hold"}])",
       "/outcomes/0/value: needs a \"pointer\" to compare with"},
      {R"("outcomes":[{"status":422,"outcome":"perhaps"}])",
       "/outcomes/0/outcome: must be issued, declined, retry, in_doubt, setup or hold, not "
       "\"perhaps\""},
      {R"("time_out_ms":5)", "/time_out_ms: unknown key"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.member);
    CHECK(message_of(parse_downstream(downstream_text(row.member))) == row.message);
  }
}

TEST_CASE("downstream: URLs that could be read in two ways are refused") {
  for (const char* good :
       {"https://a.example/v1/coupons?x=%20", "http://127.0.0.1:8081/c", "https://[::1]:8443/c"}) {
    CAPTURE(good);
    CHECK(check_url(good));
  }
  for (const char* bad :
       {"ftp://a/", "https://", "https:///x", "https://user:pw@a/", "https://a/#x", "https://a /",
        "https://a/\r\nX: y", "https://a:0/", "https://a:99999/", "https://a:-1/", "https://a:/",
        "https://\xc3\xa4.example/", "//a", "https://a\\b"}) {
    CAPTURE(bad);
    CHECK_FALSE(check_url(bad));
  }
  const std::string plain =
      R"({"name":"c","kind":"coupon","url":"http://10.0.0.1/c","contract":"key")";
  CHECK(message_of(parse_downstream(plain + "}")) ==
        "/url: plain http can be read and changed on its way");
  CHECK(parse_downstream(plain + R"(,"allow_http":true})"));
}

// schemas_test.py holds the JSON Schemas to the same samples, so that both accept alike.
TEST_CASE("samples: the decoders accept what they should, and nothing else") {
  struct Kind {
    const char* file;
    bool (*accepts)(std::string_view text);
  };
  const Kind kinds[] = {
      {"campaign.json", [](std::string_view text) { return parse_campaign(text).has_value(); }},
      {"downstream.json", [](std::string_view text) { return parse_downstream(text).has_value(); }},
      {"outcomes.json", [](std::string_view text) { return parse_outcomes(text).has_value(); }},
  };
  for (const Kind& kind : kinds) {
    const std::string path = std::string{VOUCH_SAMPLES} + "/" + kind.file;
    const Json samples = parse_json(read_file(path, 1 << 20).value()).value();
    REQUIRE(samples.size() > 50);
    for (const Json& sample : samples) {
      CAPTURE(kind.file);
      CAPTURE(sample["sample"].get<std::string>());
      CHECK(kind.accepts(sample["value"].dump()) == (sample["accept"] == "both"));
    }
  }
}

TEST_CASE("item set: holds what was added, up to the last item that a campaign may have") {
  ItemSet items;
  CHECK(items.is_empty());
  items.add(2);
  items.add(kItemsMax - 1);
  items.add(2);
  CHECK(items.size() == 2);
  CHECK(items.contains(2));
  CHECK(items.contains(kItemsMax - 1));
  CHECK_FALSE(items.contains(0));
  CHECK(items.bits() == 4 + (std::int64_t{1} << (kItemsMax - 1)));
  CHECK(ItemSet{0, 1}.bits() == 3);
  CHECK(ItemSet::all().size() == static_cast<int>(kItemsMax));
}
