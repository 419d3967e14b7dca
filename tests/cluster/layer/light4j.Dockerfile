FROM python:3.11-slim
COPY jre /jre
COPY light4j /light4j
ENV PATH=/jre/bin:/usr/bin:/bin
ENV JAVA_TOOL_OPTIONS="-Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlight-4j-config-dir=/light4j/config"
WORKDIR /light4j
USER 10001:10001
