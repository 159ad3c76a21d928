# Build options and the flags every target shares (interface library hg_flags).
option(HG_TESTS "Build the unit tests (cmocka)" ON)
option(HG_NATS "The backplane can be NATS (needs libnats)" ON)
option(HG_FUZZ "Build the libFuzzer targets (needs clang)" OFF)
set(HG_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread")
set(HG_WERROR ON CACHE BOOL "Warnings are errors")

add_library(hg_flags INTERFACE)
target_compile_definitions(hg_flags INTERFACE _GNU_SOURCE HG_VERSION="${PROJECT_VERSION}"
    HG_HAVE_NATS=$<BOOL:${HG_NATS}>)
target_compile_options(hg_flags INTERFACE -Wall -Wextra -Wshadow -Wvla -Wpointer-arith -fno-common
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
    $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti>)
if(HG_WERROR)
    target_compile_options(hg_flags INTERFACE -Werror)
endif()
if(HG_SANITIZE)
    target_compile_options(hg_flags INTERFACE -fsanitize=${HG_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
    target_link_options(hg_flags INTERFACE -fsanitize=${HG_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
    set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
    set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g")
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
    target_compile_options(hg_flags INTERFACE -fstack-protector-strong -fstack-clash-protection -fcf-protection
        -D_FORTIFY_SOURCE=2 -fPIE)
    target_link_options(hg_flags INTERFACE -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()
if(HG_FUZZ)
    target_compile_options(hg_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
