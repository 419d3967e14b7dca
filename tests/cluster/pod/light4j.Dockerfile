FROM pod-measure:1
COPY jre /jre
COPY srv /srv
ENV PATH=/jre/bin:/usr/bin:/bin
ENV JAVA_TOOL_OPTIONS="-Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlight-4j-config-dir=/srv/config -Dlogback.configurationFile=/srv/config/logback.xml"
CMD ["bash", "/srv/start.sh"]
