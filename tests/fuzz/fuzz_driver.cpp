// fuzz_driver.cpp: inputs for a fuzz target where there is no libFuzzer.
//
//   csv_fuzz [COUNT [SEED]]    COUNT inputs (1000), put together from pieces that such files have
//   csv_fuzz FILE...           the inputs in these files, such as one that libFuzzer has found
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "common/random.hpp"
#include "common/text.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace std::string_view_literals;

// What breaks readers: everything with a meaning, and letters cut in two.
constexpr std::string_view kPieces[] = {"recipient_id"sv,
                                        "amount"sv,
                                        "month"sv,
                                        ","sv,
                                        ";"sv,
                                        "\t"sv,
                                        "\n"sv,
                                        "\r\n"sv,
                                        "\r"sv,
                                        "\""sv,
                                        "\"\""sv,
                                        "\",\""sv,
                                        "\"\n"sv,
                                        "\0"sv,
                                        "\xef\xbb\xbf"sv,
                                        "\xff\xfe"sv,
                                        "\xff"sv,
                                        "\xe4\xb8"sv,
                                        "\xe4\xb8\xad"sv,
                                        "\xd6"sv,
                                        "\xd6\xd0"sv,
                                        "\xf0\x9f\x98\x80"sv,
                                        "\xc2\xa0"sv,
                                        "u1"sv,
                                        "12.50"sv,
                                        "1e3"sv,
                                        "1.38E+10"sv,
                                        "13812345678"sv,
                                        "+86 138"sv,
                                        " "sv,
                                        "0"sv,
                                        "-1"sv,
                                        "\x1f\x8b"sv,
                                        "\x1f\x8b\x08\x00"sv,
                                        "PK\x03\x04"sv};

void run_one(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

std::string make_input(vouch::Random& random) {
  std::string input(1, static_cast<char>(random.below(256)));
  const std::string delimiter(1, ",;\t,"[input[0] & 3]);
  if (random.chance(0.8)) input += "recipient_id" + delimiter + "amount" + delimiter + "month\n";
  const std::uint64_t pieces = random.below(60);
  for (std::uint64_t i = 0; i < pieces; ++i) {
    std::string piece{kPieces[random.below(std::size(kPieces))]};
    if (random.chance(0.1)) piece = delimiter;
    if (random.chance(0.01)) piece.assign(random.below(200'000), piece[0]);
    input += piece;
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::filesystem::exists(argv[1])) {
    for (int i = 1; i < argc; ++i) {
      std::ifstream file{argv[i], std::ios::binary};
      run_one({std::istreambuf_iterator<char>{file}, {}});
    }
    return 0;
  }
  const auto number = [&](int at, std::int64_t otherwise) {
    return argc > at ? vouch::parse_integer(argv[at]).value_or(otherwise) : otherwise;
  };
  const std::int64_t count = number(1, 1000);
  vouch::SeededRandom random{static_cast<std::uint64_t>(number(2, 1))};
  for (std::int64_t i = 0; i < count; ++i) run_one(make_input(random));
  std::printf("%lld inputs, nothing broke\n", static_cast<long long>(count));
  return 0;
}
