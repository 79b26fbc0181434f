#include "common/store/code_form.hpp"

#include <algorithm>
#include <cmath>

#include "common/secret_box.hpp"
#include "common/store/code_segment.hpp"
#include "common/text.hpp"

namespace vouch::store {
namespace {

constexpr char kPlace = '#';
constexpr std::size_t kCharsetMin = 10;

// Letters that stand in a URL, a CSV field and a JSON text as they are.
bool is_code_letter(char c) {
  return c > 0x20 && c < 0x7f && std::string_view{"\"',;\\#&%<>{}"}.find(c) == std::string::npos;
}

Result<void> check_charset(const std::string& charset) {
  std::string sorted = charset;
  std::ranges::sort(sorted);
  const bool twice = std::ranges::adjacent_find(sorted) != sorted.end();
  if (twice || !std::ranges::all_of(charset, is_code_letter) || charset.size() < kCharsetMin) {
    return fail(Errc::usage,
                "--charset: must be at least " + std::to_string(kCharsetMin) +
                    " different letters, digits or signs such as - and _",
                "leave it out for " + std::string{kPlainCharset});
  }
  return {};
}

std::string count_text(double count) {
  constexpr double kExact = 1e15;
  if (count < kExact) return format_count(static_cast<std::int64_t>(count));
  const int digits = static_cast<int>(std::floor(std::log10(count)));
  return "10^" + std::to_string(digits);
}

}  // namespace

Result<CodeForm> CodeForm::make(const Options& options) {
  VOUCH_CHECK(check_charset(options.charset));
  CodeForm form;
  form.charset_ = options.charset;
  form.check_ = options.check;
  // An odd system would not tell some pairs of letters apart.
  if (options.check && options.charset.size() % 2 != 0) {
    return fail(Errc::usage, "--check: needs a charset of an even number of letters, not " +
                                 std::to_string(options.charset.size()));
  }
  form.pattern_ = options.prefix;
  form.is_drawn_.assign(options.prefix.size(), false);
  if (options.pattern.empty()) {
    if (options.letters < 1) return fail(Errc::usage, "--length: must be above nought");
    form.pattern_.append(static_cast<std::size_t>(options.letters), kPlace);
    form.is_drawn_.resize(form.pattern_.size(), true);
  }
  for (const char c : options.pattern) {
    form.pattern_ += c;
    form.is_drawn_.push_back(c == kPlace);
  }
  for (std::size_t i = 0; i < form.pattern_.size(); ++i) {
    if (form.is_drawn_[i]) ++form.drawn_;
    if (form.is_drawn_[i] || is_code_letter(form.pattern_[i])) continue;
    return fail(Errc::usage,
                "--pattern, --prefix: must hold letters, digits and signs such as -, "
                "and in a pattern # for each letter to be drawn");
  }
  if (form.drawn_ == 0 || form.pattern_.size() + (options.check ? 1 : 0) > kCodeBytesMax) {
    return fail(Errc::usage, "--pattern: must hold # at least once, and give at most " +
                                 std::to_string(kCodeBytesMax) + " letters");
  }
  return form;
}

double CodeForm::keyspace() const {
  return std::pow(static_cast<double>(charset_.size()), static_cast<double>(drawn_));
}

double CodeForm::guesses_per_hit(std::int64_t codes) const {
  return keyspace() / static_cast<double>(std::max<std::int64_t>(1, codes));
}

Result<void> CodeForm::check_density(std::int64_t codes) const {
  const double guesses = guesses_per_hit(codes);
  if (guesses >= kGuessesMin) return {};
  const double wanted = kGuessesMin * static_cast<double>(codes);
  std::size_t least = drawn_;
  double space = keyspace();
  for (; space < wanted; ++least) space *= static_cast<double>(charset_.size());
  return fail(Errc::invalid,
              std::to_string(drawn_) + " letters of " + std::to_string(charset_.size()) + " make " +
                  count_text(keyspace()) + " codes; with " + format_count(codes) +
                  " of them in the pool one guess in " + count_text(std::max(1.0, guesses)) +
                  " would hit, and it must be at most one in " + count_text(kGuessesMin),
              "draw " + std::to_string(least) + " letters or more: --length " +
                  std::to_string(least) + ", or so many # in --pattern");
}

// ISO/IEC 7064, hybrid systems: P starts at N; for each letter a, P becomes 2 (P + a mod N, nought
// counting as N) mod N + 1; the check c makes P + c = 1 mod N.
std::size_t CodeForm::check_of(std::span<const std::uint8_t> letters) const {
  const std::size_t n = charset_.size();
  std::size_t p = n;
  for (const std::uint8_t letter : letters) {
    std::size_t sum = (p + letter) % n;
    if (sum == 0) sum = n;
    p = (2 * sum) % (n + 1);
  }
  return (n + 1 - p % n) % n;
}

bool CodeForm::is_checked(std::string_view code) const {
  if (!check_ || code.size() != pattern_.size() + 1) return false;
  std::vector<std::uint8_t> letters;
  for (std::size_t i = 0; i < pattern_.size(); ++i) {
    if (!is_drawn_[i]) continue;
    const std::size_t letter = charset_.find(code[i]);
    if (letter == std::string::npos) return false;
    letters.push_back(static_cast<std::uint8_t>(letter));
  }
  return charset_[check_of(letters)] == code.back();
}

CodeDraw::CodeDraw(const CodeForm& form, Random& random)
    : form_{form},
      random_{random},
      taken_{bytes_.size()},
      fair_{static_cast<unsigned>(256 - 256 % form.charset_.size())} {
  letters_.reserve(form.drawn_);
}

CodeDraw::~CodeDraw() {
  wipe(code_);
}

// A byte above the last whole multiple of the charset is thrown away: else some letters would
// come more often.
std::uint8_t CodeDraw::letter() {
  while (true) {
    if (taken_ == bytes_.size()) {
      random_.fill(std::as_writable_bytes(std::span{bytes_}));
      taken_ = 0;
    }
    const std::uint8_t byte = bytes_[taken_];
    bytes_[taken_++] = 0;
    if (byte < fair_) return static_cast<std::uint8_t>(byte % form_.charset_.size());
  }
}

std::string_view CodeDraw::next() {
  code_ = form_.pattern_;
  letters_.clear();
  for (std::size_t i = 0; i < code_.size(); ++i) {
    if (!form_.is_drawn_[i]) continue;
    letters_.push_back(letter());
    code_[i] = form_.charset_[letters_.back()];
  }
  if (form_.check_) code_ += form_.charset_[form_.check_of(letters_)];
  return code_;
}

}  // namespace vouch::store
