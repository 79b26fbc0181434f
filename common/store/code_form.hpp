// code_form.hpp: what generated codes look like, and how hard they are to guess.
//
// A form is a pattern in which each # stands for one letter drawn from the charset; everything
// else stands in every code.  A check character, when wanted, is appended; it is computed over
// the drawn letters by the hybrid system MOD N+1,N of ISO/IEC 7064 (MOD 37,36 for the charset
// 0-9A-Z), which finds every mistyped letter and nearly every pair of letters swapped.
//
// Threads: immutable.
// Errors:  usage for what no code can look like; invalid when codes would be guessed too easily.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/random.hpp"
#include "common/result.hpp"

namespace vouch::store {

// Neither I, L, O, U nor 0, 1: nothing is taken for another letter, and no words come about.
inline constexpr std::string_view kPlainCharset = "23456789ABCDEFGHJKMNPQRSTVWXYZ";
inline constexpr int kCodeLettersDefault = 12;
// A guess may hit one of the pool's codes with a chance of one in this, at most.
inline constexpr double kGuessesMin = 1e8;

class CodeForm {
 public:
  struct Options {
    std::string charset{kPlainCharset};
    std::string prefix{};   // stands before the pattern
    std::string pattern{};  // "VIP-####-####"; empty: `letters` times #
    int letters = kCodeLettersDefault;
    bool check = false;
  };
  [[nodiscard]] static Result<CodeForm> make(const Options& options);

  // How many codes there can be; more than a double counts exactly are counted roughly.
  [[nodiscard]] double keyspace() const;
  // Of how many guesses one hits, once there are `codes`.
  [[nodiscard]] double guesses_per_hit(std::int64_t codes) const;
  // Refuses a form under which `codes`, those that the pool has and new ones, would be too dense:
  // names the chance, and the least number of letters that would do.
  [[nodiscard]] Result<void> check_density(std::int64_t codes) const;

  [[nodiscard]] std::size_t letters() const { return drawn_; }

  // Whether the last letter of `code` is the check character of what is drawn in it.
  [[nodiscard]] bool is_checked(std::string_view code) const;

 private:
  friend class CodeDraw;
  CodeForm() = default;
  [[nodiscard]] std::size_t check_of(std::span<const std::uint8_t> letters) const;

  std::string charset_;
  std::string pattern_;         // with the prefix
  std::vector<bool> is_drawn_;  // by place in pattern_
  std::size_t drawn_ = 0;
  bool check_ = false;
};

// Draws codes of a form from a source of chance, by the million.
class CodeDraw {
 public:
  CodeDraw(const CodeForm& form, Random& random);
  ~CodeDraw();
  CodeDraw(const CodeDraw&) = delete;
  CodeDraw& operator=(const CodeDraw&) = delete;

  // Valid until the next call.
  [[nodiscard]] std::string_view next();

 private:
  [[nodiscard]] std::uint8_t letter();

  const CodeForm& form_;
  Random& random_;
  std::array<std::uint8_t, 4096> bytes_{};
  std::size_t taken_;
  unsigned fair_;  // bytes below are spread evenly over the charset
  std::vector<std::uint8_t> letters_;
  std::string code_;
};

}  // namespace vouch::store
