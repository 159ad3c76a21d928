# make install and the .deb: see deploy/.
if(TARGET headgate)
    install(TARGETS headgate RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
