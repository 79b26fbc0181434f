#include <doctest/doctest.h>

#include "common/json.hpp"

using namespace vouch;

TEST_CASE("json: what two readers could understand differently is refused") {
  CHECK(parse_json(R"({"a":1})"));
  CHECK_FALSE(parse_json(R"({"a":1,"a":2})"));
  CHECK_FALSE(parse_json(R"({"a":1} x)"));
  CHECK_FALSE(parse_json("// note\n{}"));
  CHECK(parse_json("// note\n{}", JsonComments::allowed));
  CHECK(parse_json(R"([{"a":1},{"a":2}])"));
  CHECK_FALSE(parse_json(std::string(100'000, '[')));
  CHECK_FALSE(parse_json(std::string(100'000, '['), JsonComments::allowed));
}

TEST_CASE("json: a decoder names the place and the nearest key") {
  const Json json = parse_json(R"({"name":"x","limitt":3})").value();
  auto reader = JsonReader::object(json, "/items/0");
  REQUIRE(reader);
  CHECK(reader->text("name").value() == "x");
  CHECK(reader->optional_integer("limit", 1, 5).value() == std::nullopt);
  const auto end = reader->finish();
  REQUIRE_FALSE(end);
  CHECK(end.error().message == "/items/0/limitt: unknown key");
  CHECK(end.error().hint == "did you mean \"limit\"?");
  CHECK(reader->text("absent").error().message == "/items/0/absent: is missing");
}
