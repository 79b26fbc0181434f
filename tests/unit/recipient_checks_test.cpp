#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/store/amount_text.hpp"
#include "common/store/column_plan.hpp"
#include "common/store/packed_row.hpp"
#include "common/store/phone_number.hpp"
#include "common/store/recipient_checks.hpp"

using namespace vouch;
using namespace vouch::store;
using namespace std::string_literals;

namespace {

bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<std::uint8_t>(c) >= 0x80) return false;
  }
  return true;
}

// A record as the reader would give it.
struct Record {
  explicit Record(std::vector<std::string> values) : fields{std::move(values)} {
    record.line = 2;
    record.is_ascii = true;
    for (const std::string& field : fields) {
      views.push_back(field);
      record.is_ascii = record.is_ascii && is_ascii(field);
    }
    record.fields = views;
  }
  std::vector<std::string> fields;
  std::vector<std::string_view> views;
  CsvRecord record;
};

ImportRequest plain_request() {
  ImportRequest request;
  request.amount_columns = {{"amount", 2}};
  request.amount_unit = AmountUnit::minor;
  return request;
}

Result<ColumnPlan> plan_of(std::vector<std::string> header, const ImportRequest& request) {
  return plan_columns(Record{std::move(header)}.record, request);
}

// Checks one row `id,amount,name`; the code of its refusal, "" when it is accepted.
std::string code_of(std::vector<std::string> fields, const ImportRequest& request) {
  const auto plan = plan_of({"recipient_id", "amount", "name"}, request);
  REQUIRE(plan);
  RowChecker checker{*plan, request};
  const Record record{std::move(fields)};
  if (checker.check(record.record)) return "";
  CHECK_FALSE(checker.refusal().message.empty());
  return std::string{reject_name(checker.refusal().code)};
}

}  // namespace

TEST_CASE("column_plan: a header that cannot be used says why, and what was probably meant") {
  struct Case {
    const char* name;
    std::vector<std::string> header;
    std::string message;
    std::string hint;
  };
  const Case cases[] = {
      {"none", {"id", "amount"}, "no column \"recipient_id\"", "--map their_name=recipient_id"},
      {"a slip", {"recipent_id", "amount"}, "no column \"recipient_id\"", "recipent_id="},
      {"another case", {"Recipient_ID", "amount"}, "no column", "--map 'Recipient_ID="},
      {"semicolons", {"amount; recipient_id;name"}, "separated by semicolon", "--delimiter semi"},
      {"quoted", {"\"recipient_id\";\"amount\""}, "separated by semicolon", "--delimiter semi"},
      {"tabs", {"recipient_id\tamount"}, "separated by tab", "--delimiter tab"},
      {"Excel's own line", {"sep=;"}, "only Excel", "remove"},
      {"a control character", {"recipient_id", "amo\tunt"}, "control character", ""},
      {"twice", {"recipient_id", "amount", "amount"}, "columns 2 and 3 are both", ""},
      {"no name", {"recipient_id", "amount", " "}, "column 3 has no name", "give every column"},
      {"mark inside",
       {"recipient_id",
        "\xef\xbb\xbf"
        "amount"},
       "byte order mark",
       ""},
      {"no UTF-8", {"recipient_id", "amount", "\xc3\xfb"}, "0xc3 cannot be decoded", "--encoding"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.name);
    const auto plan = plan_of(c.header, plain_request());
    REQUIRE_FALSE(plan);
    CHECK(plan.error().code == Errc::invalid);
    CAPTURE(plan.error().message);
    CAPTURE(plan.error().hint);
    CHECK(plan.error().message.find(c.message) != std::string::npos);
    CHECK(plan.error().hint.find(c.hint) != std::string::npos);
  }
}

TEST_CASE("column_plan: names are mapped, roles given, our own columns passed over") {
  ImportRequest request = plain_request();
  request.mappings = {{"member", "recipient_id"}, {"value", "amount"}};
  request.occurrence_column = "month";
  const auto plan =
      plan_of({"vouch_line", "vouch_error", "value", "member", "month", "city"}, request);
  REQUIRE(plan);
  CHECK(plan->recipient_id == 3);
  CHECK(plan->amounts == std::vector<std::size_t>{2});
  CHECK(plan->occurrence == 4);
  const auto kept = plan->kept();
  REQUIRE(kept.size() == 4);
  CHECK(kept[0].name == "value");
  CHECK(kept[0].called == "amount");
  CHECK(kept[0].role == ColumnRole::amount);
  CHECK(kept[3].role == ColumnRole::attribute);

  request.mappings = {{"membr", "recipient_id"}};
  const auto slip = plan_of({"member", "amount", "month"}, request);
  REQUIRE_FALSE(slip);
  CHECK(slip.error().hint == "did you mean \"member\"?");
}

TEST_CASE("column_plan: options that contradict each other are a usage error") {
  const auto is_usage = [](const ImportRequest& request) {
    const auto checked = check_request(request);
    return !checked && checked.error().code == Errc::usage;
  };
  CHECK_FALSE(is_usage(plain_request()));
  ImportRequest request = plain_request();
  request.amount_unit.reset();
  CHECK(is_usage(request));
  request = plain_request();
  request.id_type = IdType::phone;
  CHECK(is_usage(request));
  request.country = "UK";
  CHECK(is_usage(request));
  request.country = "GB";
  CHECK_FALSE(is_usage(request));
  request.id_type = IdType::opaque;
  CHECK(is_usage(request));
  request = plain_request();
  request.delimiter = '|';
  CHECK(is_usage(request));
  request = plain_request();
  request.rejects_percent_max = 3;
  CHECK(is_usage(request));
}

TEST_CASE("recipient_checks: each kind of bad row has its own code") {
  struct Case {
    std::vector<std::string> fields;
    std::string code;
  };
  const Case cases[] = {
      {{"u1", "100", "Anna"}, ""},
      {{" u1\t", " 100 ", ""}, ""},
      {{"é", "100", "中"}, ""},
      {{std::string(128, 'x'), "1", ""}, ""},
      {{"u 1", "1000000000000", ""}, ""},
      {{"1E5", "007", ""}, ""},
      {{"u1", "100"}, "column_count"},
      {{"u1", "100", "Anna", ""}, "column_count"},
      {{"", " ", ""}, "blank_row"},
      {{"", "100", ""}, "id_empty"},
      {{" ", "100", ""}, "id_empty"},
      {{std::string(129, 'x'), "100", ""}, "id_too_long"},
      {{"u\x01", "100", ""}, "id_control"},
      {{"u\x7f", "100", ""}, "id_control"},
      {{"u\n1", "100", ""}, "id_control"},
      {{"u\xc2\xa0", "100", ""}, "id_invisible"},
      {{"\xe3\x80\x80u", "100", ""}, "id_invisible"},
      {{"u\xe2\x80\x8b", "100", ""}, "id_invisible"},
      {{"u\xff", "100", ""}, "undecodable"},
      {{"u1", "100", "\xc3("}, "undecodable"},
      {{"\xef\xbb\xbfu1", "100", ""}, "byte_order_mark"},
      {{"1.38E+10", "100", ""}, "id_exponent"},
      {{"1,38E+10", "100", ""}, "id_exponent"},
      {{"1e+5", "100", ""}, "id_exponent"},
      {{"u1", "", ""}, "amount_empty"},
      {{"u1", "ten", ""}, "amount_not_a_number"},
      {{"u1", "+5", ""}, "amount_not_a_number"},
      {{"u1", "1e3", ""}, "amount_exponent"},
      {{"u1", "1,00", ""}, "amount_comma"},
      {{"u1", "１２", ""}, "amount_full_width"},
      {{"u1", "-5", ""}, "amount_negative"},
      {{"u1", "0", ""}, "amount_zero"},
      {{"u1", "1.50", ""}, "amount_point"},
      {{"u1", "1000000000001", ""}, "amount_too_large"},
      {{"u1", "99999999999999999999999", ""}, "amount_too_large"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.fields.front());
    CAPTURE(c.code);
    CHECK(code_of(c.fields, plain_request()) == c.code);
  }
}

TEST_CASE("recipient_checks: a faulty record is refused by its fault, in its column") {
  const ImportRequest request = plain_request();
  const auto plan = plan_of({"recipient_id", "amount", "name"}, request);
  REQUIRE(plan);
  RowChecker checker{*plan, request};
  Record record{{"u1", "1", "a\"b"}};
  record.record.fault = CsvFault::stray_quote;
  record.record.fault_column = 2;
  CHECK_FALSE(checker.check(record.record));
  CHECK(checker.refusal().code == RejectCode::quote_stray);
  CHECK(checker.refusal().column == "name");
  record.record.fault_column = 7;  // beyond the header's
  CHECK_FALSE(checker.check(record.record));
  CHECK(checker.refusal().column.empty());
}

TEST_CASE("recipient_checks: an accepted row keeps every field as it was, and the id once") {
  ImportRequest request = plain_request();
  request.amount_unit = AmountUnit::major;
  const auto plan = plan_of({"name", "recipient_id", "amount"}, request);
  REQUIRE(plan);
  RowChecker checker{*plan, request};
  const Record record{{"Anna \"A\"", "u-17", "12.5"}};
  REQUIRE(checker.check(record.record));
  CHECK(checker.recipient_id() == "u-17");
  std::string_view payload = checker.payload();
  CHECK(take_text(payload) == "u-17");
  CHECK(take_varint(payload) == 1250);
  const PartnerFields fields{payload, "u-17"};
  CHECK(std::vector<std::string_view>{fields.begin(), fields.end()} == record.views);
  CHECK(fields[1] == "u-17");
  CHECK(fields[3].empty());
  CHECK(payload.find("u-17") == std::string_view::npos);
}

TEST_CASE("recipient_checks: the occurrence must be there where rows are told apart by it") {
  ImportRequest request;
  request.occurrence_column = "month";
  const auto plan = plan_of({"recipient_id", "month"}, request);
  REQUIRE(plan);
  RowChecker checker{*plan, request};
  const Record good{{"u1", " 2026-11 "}};
  REQUIRE(checker.check(good.record));
  CHECK(checker.occurrence() == "2026-11");
  CHECK_FALSE(checker.check(Record{{"u1", " "}}.record));
  CHECK(checker.refusal().code == RejectCode::occurrence_empty);
  CHECK_FALSE(checker.check(Record{{"u1", std::string(129, 'x')}}.record));
  CHECK_FALSE(checker.check(Record{{"u1", "a\tb"}}.record));
  CHECK(checker.refusal().code == RejectCode::occurrence_control);
}

TEST_CASE("recipient_checks: lost leading zeros are warned about, once, where they are likely") {
  const auto warned = [](const std::vector<std::string>& ids) {
    const ImportRequest request;
    const auto plan = plan_of({"recipient_id"}, request);
    RowChecker checker{*plan, request};
    for (const std::string& id : ids) REQUIRE(checker.check(Record{{id}}.record));
    return checker.warnings().size() == 1;
  };
  CHECK(warned({"123456", "12345", "123456"}));
  CHECK_FALSE(warned({"123456", "012345", "12345"}));
  CHECK_FALSE(warned({"123456", "654321"}));
  CHECK_FALSE(warned({"123456", "u12345", "1234"}));
  CHECK_FALSE(warned({}));
}

TEST_CASE("amount_text: exact decimals in the unit that was said, to the last minor unit") {
  const auto major = [](std::string_view text, int digits) {
    return parse_amount(text, false, digits);
  };
  CHECK(major("12.50", 2) == 1250);
  CHECK(major("12.5", 2) == 1250);
  CHECK(major("12", 2) == 1200);
  CHECK(major("0.01", 2) == 1);
  CHECK(major("007.10", 2) == 710);
  CHECK(major("5", 0) == 5);
  CHECK(major("1.234", 3) == 1234);
  CHECK(major("10000000000.00", 2) == kAmountMinorMax);
  CHECK(major("10000000000.01", 2).error() == AmountFault::too_large);
  CHECK(major("12.505", 2).error() == AmountFault::too_many_digits);
  CHECK(major("5.0", 0).error() == AmountFault::too_many_digits);
  CHECK(major("0.00", 2).error() == AmountFault::zero);
  CHECK(major("1,234.50", 2).error() == AmountFault::comma);
  for (const char* text : {".5", "5.", ".", "1.2.3", "12 50", "0x10", "EUR 5", "5-"}) {
    CAPTURE(text);
    CHECK(major(text, 2).error() == AmountFault::not_a_number);
  }
  CHECK(parse_amount("1250", true, 2) == 1250);
  CHECK(parse_amount("\xe2\x88\x92"
                     "5",
                     true, 2)
            .error() == AmountFault::negative);
}

TEST_CASE("phone_number: one person written in several ways is one recipient") {
  struct Case {
    const char* country;
    const char* text;
    const char* want;  // "" when it is refused
  };
  const Case cases[] = {
      {"CN", "13812345678", "+8613812345678"},
      {"CN", "+86 138-1234-5678", "+8613812345678"},
      {"CN", "008613812345678", "+8613812345678"},
      {"CN", "010-12345678", "+861012345678"},
      {"CN", "1381234567", ""},
      {"CN", "8613812345678", ""},
      {"HK", "9123 4567", "+85291234567"},
      {"HK", "19123456", ""},
      {"TW", "0912-345-678", "+886912345678"},
      {"TW", "912345678", ""},
      {"SG", "8123 4567", "+6581234567"},
      {"MY", "012-345 6789", "+60123456789"},
      {"JP", "090-1234-5678", "+819012345678"},
      {"US", "(212) 555-0123", "+12125550123"},
      {"US", "1-212-555-0123", "+12125550123"},
      {"US", "112-555-0123", ""},
      {"GB", "020 7946 0958", "+442079460958"},
      {"GB", "+44 (0)20 7946 0958", "+442079460958"},
      {"DE", "0151 12345678", "+4915112345678"},
      {"DE", "0151/12345678", "+4915112345678"},
      {"DE", "4915112345678", ""},
      {"DE", "+49 0151 12345678", ""},
      {"IT", "+39 06 1234 5678", "+390612345678"},
      {"DE", "+351 912 345 678", "+351912345678"},
      {"PT", "+351912345678", "+351912345678"},
      {"PT", "912345678", ""},
      {"CN", "+123", ""},
      {"CN", "+1234567890123456", ""},
      {"CN", "+0123456789", ""},
      {"CN", "138１2345678", ""},
      {"CN", "n/a", ""},
      {"CN", "-", ""},
      {"CN", "+", ""},
      {"CN", "00", ""},
  };
  for (const Case& c : cases) {
    CAPTURE(c.country);
    CAPTURE(c.text);
    CHECK(normalise_phone(c.text, c.country).value_or("") == c.want);
  }
}
