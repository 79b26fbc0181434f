# Run by vouch_embed: writes OUTPUT, which defines vouch::embedded::NAME from INPUTS.
set(entries "")
foreach(file ${INPUTS})
  file(READ ${file} text)
  get_filename_component(base ${file} NAME)
  # A raw string literal holds at most 64 KiB; our files are far below.
  string(APPEND entries "    {\"${base}\", R\"vouch_text(${text})vouch_text\"},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made by cmake/embed_files.cmake.
#include \"common/embedded.hpp\"
namespace vouch::embedded {
namespace {
constexpr File kFiles[] = {
${entries}};
}  // namespace
const std::span<const File> ${NAME}{kFiles};
}  // namespace vouch::embedded
")
