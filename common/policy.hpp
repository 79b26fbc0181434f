// policy.hpp: how many people must agree to what needs authority: the policy of a store.
//
// Stored and printed as these words; they are never renamed.
//
// Threads: constants.
#pragma once

#include <string_view>

namespace vouch {

inline constexpr std::string_view kSolo = "solo";           // one operator decides alone
inline constexpr std::string_view kFourEyes = "four-eyes";  // a second one must agree

}  // namespace vouch
