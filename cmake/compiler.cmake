# Warnings are errors; ccache is used where it is installed.
find_program(CCACHE ccache)
if(CCACHE)
  # One cache serves every build folder and every clone: paths are taken relative to the source.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

# Our own code links this target; third-party headers come in as system headers.
add_library(vouch_options INTERFACE)
target_compile_options(vouch_options INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Werror -fno-omit-frame-pointer
  # g++ 12 is wrong about std::string::insert (GCC bug 105651) and about date.h's parser.
  -Wno-restrict -Wno-maybe-uninitialized)
target_include_directories(vouch_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(vouch_options INTERFACE -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
target_compile_definitions(vouch_options INTERFACE VOUCH_VERSION="${PROJECT_VERSION}")
if(VOUCH_FAILPOINTS)
  target_compile_definitions(vouch_options INTERFACE VOUCH_FAILPOINTS=1)
endif()
if(VOUCH_SANITIZE)
  target_compile_options(vouch_options INTERFACE -fsanitize=${VOUCH_SANITIZE}
    -fno-sanitize-recover=all)
  target_link_options(vouch_options INTERFACE -fsanitize=${VOUCH_SANITIZE})
  target_compile_definitions(vouch_options INTERFACE VOUCH_SANITIZED=1)
  # Library code uses fences, which the thread sanitizer cannot follow.
  target_compile_options(vouch_options INTERFACE -Wno-tsan)
endif()
