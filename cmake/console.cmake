# clients/console/* -> one generated C file with the bytes, linked into the worker (served at /console/).
file(GLOB console_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/clients/console/*)
set(console_c ${PROJECT_BINARY_DIR}/console_files.c)
add_custom_command(
    OUTPUT ${console_c}
    COMMAND ${CMAKE_COMMAND} -DOUT=${console_c} "-DFILES=${console_files}" -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${console_files} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
    COMMENT "console page -> C"
    VERBATIM)
target_sources(hg_worker PRIVATE ${console_c})
