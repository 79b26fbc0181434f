// result.hpp: operating errors as values.
//
// Every function that can fail for a reason outside the program returns Result<T>.  A broken
// invariant is no operating error: VOUCH_ASSERT stops the process, in release builds too, since
// recovery from a crash is part of the design and a wrong voucher is not.
//
// Threads: plain values, no state.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace vouch {

// Chosen for what the caller does next, not for what went wrong inside.
enum class Errc : std::uint8_t {
  failure,        // nothing better fits
  usage,          // the command line is wrong
  not_permitted,  // another person or account may
  not_found,      // no such thing
  conflict,       // somebody was first, or the content differs
  invalid,        // mend the input; nothing was applied
  timed_out,      // a wait ended before its condition held
  attention,      // a person is needed before it can go on
  store,          // the store is missing, or of another version
  locked,         // another process holds it
  unavailable,    // the outside is away: try again
  busy,           // held for a moment: try again soon
  io,             // a disk or file system failed
  corrupt,        // stop and look
};

// The code as it appears in JSON: "not_found".
[[nodiscard]] std::string_view name_of(Errc code);
// The code of that name; Errc::failure for a name that is not known.
[[nodiscard]] Errc errc_of(std::string_view name);

// The exit status of vouchctl for an error of this kind (vouchctl(1), EXIT STATUS).
[[nodiscard]] int exit_code_of(Errc code);

// True where the same call may succeed later without anything being changed.
[[nodiscard]] bool is_retryable(Errc code);

struct Error {
  Errc code = Errc::failure;
  std::string message;  // lower case, no full stop, names the thing and the value, no secrets
  std::string hint;     // what to do about it; may be empty
};

template <typename T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> fail(Errc code, std::string message,
                                                std::string hint = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(hint)});
}

// The same error with the place put before it: within("row 17", error).
[[nodiscard]] inline tl::unexpected<Error> within(std::string_view where, Error error) {
  error.message = std::string{where} + ": " + error.message;
  return tl::unexpected<Error>(std::move(error));
}

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace vouch

#define VOUCH_JOIN_(a, b) a##b
#define VOUCH_JOIN(a, b) VOUCH_JOIN_(a, b)

// Assigns the value of `expression` to `target` (which may declare), or returns its error.
#define VOUCH_TRY(target, ...)                                                                     \
  auto VOUCH_JOIN(vouch_result_, __LINE__) = (__VA_ARGS__);                                        \
  if (!VOUCH_JOIN(vouch_result_, __LINE__))                                                        \
    return tl::unexpected<::vouch::Error>(std::move(VOUCH_JOIN(vouch_result_, __LINE__)).error()); \
  target = std::move(*VOUCH_JOIN(vouch_result_, __LINE__))

// Returns the error of a Result<void> expression, if it has one.
#define VOUCH_CHECK(...)                                                       \
  do {                                                                         \
    if (auto vouch_checked = (__VA_ARGS__); !vouch_checked)                    \
      return tl::unexpected<::vouch::Error>(std::move(vouch_checked).error()); \
  } while (false)

#define VOUCH_ASSERT(expression) \
  ((expression) ? void() : ::vouch::assertion_failed(#expression, __FILE__, __LINE__))
