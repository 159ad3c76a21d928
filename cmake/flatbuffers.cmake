# proto/*.fbs -> generated C++ headers, used only by the one extern "C" door in proto/.
set(fb_dir ${PROJECT_BINARY_DIR}/fb)
add_custom_command(
    OUTPUT ${fb_dir}/sql_schema_generated.h ${fb_dir}/sql_protocol_generated.h
    COMMAND ${FLATC} --cpp -o ${fb_dir} -I ${PROJECT_SOURCE_DIR}/proto
            ${PROJECT_SOURCE_DIR}/proto/sql_schema.fbs ${PROJECT_SOURCE_DIR}/proto/sql_protocol.fbs
    DEPENDS proto/sql_schema.fbs proto/sql_protocol.fbs
    COMMENT "flatc: proto/*.fbs")
add_custom_target(hg_fb DEPENDS ${fb_dir}/sql_schema_generated.h ${fb_dir}/sql_protocol_generated.h)
add_dependencies(hg_proto hg_fb)
target_include_directories(hg_proto PRIVATE ${fb_dir})

# For tests/e2e/query_flatbuffers.test.mjs, which builds it.
add_executable(fbdump EXCLUDE_FROM_ALL tests/support/fbdump.c)
target_link_libraries(fbdump PRIVATE hg_proto)
