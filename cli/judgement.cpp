#include "cli/judgement.hpp"

#include <algorithm>
#include <functional>

namespace vouch::cli {
namespace {

constexpr std::array<std::string_view, kClasses> kClassNames = {
    "match",    "agrees", "lost", "ghost",   "double",   "differs", "resolves", "resolves_negative",
    "in_doubt", "early",  "late", "outside", "elsewhere"};

bool may_have_acted(IssuanceState state) {
  return state == IssuanceState::sending || state == IssuanceState::in_doubt ||
         state == IssuanceState::held;
}

Differences differences_of(const LedgerEntry& row, const StatementEntry& entry,
                           const Compared& compared) {
  Differences out{};
  const auto set = [&](Difference which, bool differs) {
    out[static_cast<std::size_t>(which)] = differs;
  };
  // A downstream that has no amounts says nothing or 0.
  const std::int64_t here = row.amount_minor.value_or(0);
  const std::int64_t there = entry.amount_minor.value_or(0);
  set(Difference::amount, compared.amount && here != there);
  set(Difference::currency,
      compared.currency && (here != 0 || there != 0) && row.currency != entry.currency);
  set(Difference::recipient, compared.recipient && entry.is_of_another_recipient);
  // What is in doubt has no reference yet.
  set(Difference::reference,
      compared.reference && !row.reference.empty() && row.reference != entry.reference);
  return out;
}

bool any(const Differences& differs) {
  return std::ranges::any_of(differs, std::identity{});
}

// Issued here, not there.
Class missing(const LedgerEntry& row, const Window& window) {
  const WallTime from = row.first_sent - window.margin;
  const WallTime to = row.ended + window.margin;
  const bool before = window.since && to < *window.since;
  if (before || from >= window.until) return Class::outside;
  const bool inside = (!window.since || from >= *window.since) && to < window.until;
  return inside ? Class::lost : Class::late;
}

// In doubt here, not there.
Class unproven(const LedgerEntry& row, const Window& window) {
  const bool is_out = row.state == IssuanceState::sending;
  const bool begins = !window.since || row.first_sent - window.margin >= *window.since;
  const bool ends = row.last_sent + window.settle + window.margin <= window.until;
  return window.is_complete && !is_out && begins && ends ? Class::absent : Class::open;
}

}  // namespace

std::string_view name_of(Class c) {
  return kClassNames[static_cast<std::size_t>(c)];
}

bool is_difference(Class c) {
  return c == Class::lost || c == Class::ghost || c == Class::doubled || c == Class::differs;
}

Judgement classify(const LedgerEntry& row, std::span<const StatementEntry> entries,
                   const Window& window, const Compared& compared) {
  if (entries.size() > 1) return {.c = Class::doubled};
  const bool issued = row.state == IssuanceState::issued;
  if (entries.empty()) {
    if (issued) return {.c = missing(row, window)};
    return {.c = may_have_acted(row.state) ? unproven(row, window) : Class::agrees};
  }
  if (!issued && !may_have_acted(row.state)) return {.c = Class::ghost};
  const Differences differs = differences_of(row, entries.front(), compared);
  if (any(differs)) return {.c = Class::differs, .differs = differs};
  if (issued) return {.c = Class::match};
  return {.c = row.state == IssuanceState::sending ? Class::early : Class::resolves};
}

}  // namespace vouch::cli
